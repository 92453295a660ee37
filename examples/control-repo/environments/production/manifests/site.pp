node default {
  include role::server
}

node /^web\d+\./ {
  include role::webserver
}
