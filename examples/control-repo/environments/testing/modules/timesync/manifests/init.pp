# Keeps the clock right.
class timesync (
  Array[String] $servers,
) {
  package { 'chrony': ensure => installed }
  file { '/etc/chrony/sources.d/site.sources':
    content => $servers.map |$server| { "server ${server} iburst maxpoll 8\n" }.join,
    require => Package['chrony'],
  }
}
