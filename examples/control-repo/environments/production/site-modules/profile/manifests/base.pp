# What every machine has.
class profile::base (
  String $timezone,
  Array[String] $packages,
) {
  include motd
  include timesync
  package { $packages: ensure => installed }
  file { '/etc/timezone': content => "${timezone}\n" }
}
