# Tells whoever logs in where they are.
class motd {
  file { '/etc/motd': source => 'puppet:///modules/motd/motd' }
}
