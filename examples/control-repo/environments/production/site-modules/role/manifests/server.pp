# A machine with nothing special about it.
class role::server {
  include profile::base
}
