# A web server for static pages.
class profile::web (
  String $docroot,
) {
  package { 'nginx': ensure => installed }
  file { $docroot: ensure => directory }
  file { '/etc/nginx/conf.d/static.conf':
    content => epp('profile/static.conf.epp', { 'docroot' => $docroot }),
    require => Package['nginx'],
  }
}
