#!/usr/bin/env bash
# A Ceph cluster of one node with an S3 gateway, in one container: one mon, mgr, osd and radosgw.
# All data are under $DATA, so a new container continues with the data of the last one. If one of the
# daemons ends, the container ends too, and Docker restarts it. For development: one copy of all data.
set -euo pipefail

DATA=${CEPH_DATA:-/var/lib/ceph/xray}
CONF=$DATA/ceph.conf
PORT=8080
# The daemons use the loopback address, because the address of a container changes.
MON='[v2:127.0.0.1:3300,v1:127.0.0.1:6789]'
: "${CEPH_ADMIN_ACCESS_KEY:?}" "${CEPH_ADMIN_SECRET_KEY:?}"

say() { printf 'ceph: %s\n' "$*"; }

# until_true SECONDS WHAT COMMAND...: poll until COMMAND succeeds.
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { say "$what did not start in time"; exit 1; }
        check_daemons
        sleep 0.2
    done
}

write_config() {
    cat >"$CONF" <<CONF
[global]
fsid = $(<"$DATA/fsid")
mon host = $MON
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = $DATA/keyring
run dir = $DATA/run
crash dir = $DATA/crash
admin socket = $DATA/run/\$name.asok
log to file = false
mon cluster log to file = false
# Log errors only and never requests, not even after a crash: object keys name patients.
log to stderr = false
err to stderr = true
debug rgw = 0/0
debug rgw access = 0/0
# one copy of everything, on one disk
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data avail warn = 5
mon data avail crit = 1
[mon.a]
mon data = $DATA/mon
[mgr.x]
mgr data = $DATA/mgr
mgr initial modules =
[osd.0]
osd data = $DATA/osd
osd objectstore = bluestore
# a sparse file: it takes the space of what is stored
bluestore block size = ${CEPH_BYTES:-21474836480}
bluestore block create = true
bluestore cache autotune = false
bluestore cache size = 134217728
osd memory target = 1073741824
osd op num shards = 2
[client.rgw.a]
rgw data = $DATA/rgw
rgw frontends = beast port=$PORT
rgw thread pool size = 32
rgw enable usage log = false
CONF
}

add_key() { ceph-authtool "$DATA/keyring" --gen-key "$@" >/dev/null; }

make_mon() {
    ceph-authtool --create-keyring "$DATA/keyring" >/dev/null
    add_key -n mon. --cap mon 'allow *'
    add_key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
    add_key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *'
    add_key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd'
    add_key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw'
    monmaptool --create --clobber --fsid "$(<"$DATA/fsid")" --addv a "$MON" "$DATA/monmap" >/dev/null
    ceph-mon -c "$CONF" -i a --mkfs --monmap "$DATA/monmap" --keyring "$DATA/keyring"
}

make_osd() {
    local uuid
    uuid=$(</proc/sys/kernel/random/uuid)
    cluster osd new "$uuid" 0 >/dev/null
    ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$uuid"
    cluster osd crush add osd.0 1 root=default host=local
}

# The account for the gateway's admin API; the setup service uses it to create the pipeline's account.
make_admin() {
    local keys=(--access-key="$CEPH_ADMIN_ACCESS_KEY" --secret-key="$CEPH_ADMIN_SECRET_KEY")
    radosgw-admin -c "$CONF" user info --uid=admin >/dev/null 2>&1 ||
        radosgw-admin -c "$CONF" user create --uid=admin --display-name=admin \
            --caps='users=*' "${keys[@]}" >/dev/null
}

cluster() { ceph -c "$CONF" --connect-timeout 10 "$@"; }
osd_is_up() { cluster osd stat | grep -q '1 up'; }
gateway_answers() { curl -s -o /dev/null --max-time 5 "http://127.0.0.1:$PORT/"; }

DAEMONS=()
start() { "$@" & DAEMONS+=($!); }
check_daemons() {
    local pid
    for pid in ${DAEMONS[@]+"${DAEMONS[@]}"}; do
        kill -0 "$pid" 2>/dev/null || { say "daemon $pid ended"; exit 1; }
    done
}
stop() {
    trap - TERM INT
    say 'stopping'
    # In reverse order, the gateway first: each daemon needs those before it in the list.
    for ((i = ${#DAEMONS[@]} - 1; i >= 0; i--)); do
        kill -TERM "${DAEMONS[i]}" 2>/dev/null || true
        wait "${DAEMONS[i]}" 2>/dev/null || true
    done
    exit 0
}
trap stop TERM INT

if [[ ! -e $DATA/made ]]; then
    # Also after an interrupted first start, because nothing can have been stored yet.
    say 'making a new cluster'
    mkdir -p "$DATA"
    find "$DATA" -mindepth 1 -delete
    cat /proc/sys/kernel/random/uuid >"$DATA/fsid"
fi
mkdir -p "$DATA"/{mon,mgr,osd,rgw,run,crash}
rm -f "$DATA"/run/*
write_config
if [[ ! -e $DATA/made ]]; then make_mon; fi
start ceph-mon -c "$CONF" -i a -f
until_true 120 'the mon' cluster mon stat
if [[ ! -e $DATA/made ]]; then make_osd; fi
start ceph-mgr -c "$CONF" -i x -f
start ceph-osd -c "$CONF" -i 0 -f
until_true 120 'the osd' osd_is_up
touch "$DATA/made"
make_admin
start radosgw -c "$CONF" -n client.rgw.a -f
until_true 180 'the gateway' gateway_answers
say "ready on port $PORT"
wait -n || true
say 'a daemon ended'
exit 1
