#!/bin/sh
# What DHCP answered, applied: address and route; names are not looked up by a node.
case $1 in
  bound | renew)
    ip address replace "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; break; done
    ;;
esac
