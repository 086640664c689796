#!/bin/sh
# usage: certificate.sh apply|check FOLDER OWNER NAME...
# Keeps in FOLDER an authority (ca.crt, ca.key) made once, and a server certificate (server.crt, server.key) valid for every NAME.
# Only OWNER may read the server's key. Prints the certificates of the authority and of the server; says on stderr what it made
# ("check": would make).
set -eu
mode=$1
folder=$2
owner=$3
shift 3
umask 077
soon=7776000 # 90 days
names=$(for name; do
    case $name in
    *:* | *[0-9].*[0-9].*[0-9].*[0-9]) case $name in *[!0-9a-fA-F:.]*) echo "DNS:$name" ;; *) echo "IP:$name" ;; esac ;;
    *) echo "DNS:$name" ;;
    esac
done | sort | paste -s -d ,)

made=""
work=""
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

holds() { # CERTIFICATE KEY: do they belong together, and for how long still?
    openssl x509 -in "$1" -noout -checkend "$soon" >/dev/null 2>&1 &&
        [ "$(openssl x509 -in "$1" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout 2>/dev/null)" ]
}
authority_is_good() { holds "$folder/ca.crt" "$folder/ca.key"; }
certificate_is_good() {
    holds "$folder/server.crt" "$folder/server.key" &&
        [ "$(cat "$folder/names" 2>/dev/null)" = "$names" ] &&
        openssl verify -CAfile "$folder/ca.crt" "$folder/server.crt" >/dev/null 2>&1
}
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
put() { # FROM TO MODE OWNER: complete under its name, or not there at all
    chmod "$3" "$1"
    chown "$4" "$1"
    sync "$1"
    mv -f "$1" "$2"
}
workplace() {
    mkdir -p "$folder"
    chmod 0755 "$folder"
    [ -n "$work" ] || work=$(mktemp -d "$folder/.new.XXXXXX")
}

if ! authority_is_good; then
    made="authority"
    if [ "$mode" = apply ]; then
        workplace
        new_key "$work/ca.key"
        openssl req -x509 -new -sha256 -days 3650 -key "$work/ca.key" -out "$work/ca.crt" -subj "/CN=Authority of $owner on $(hostname)" \
            -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"
        put "$work/ca.key" "$folder/ca.key" 0600 root:root
        put "$work/ca.crt" "$folder/ca.crt" 0644 root:root
    fi
fi
if [ -n "$made" ] || ! certificate_is_good; then
    made="${made:+$made and }certificate"
    if [ "$mode" = apply ]; then
        workplace
        new_key "$work/server.key"
        openssl req -new -key "$work/server.key" -subj "/CN=$1" -out "$work/server.csr"
        cat >"$work/extensions" <<EXTENSIONS
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $names
EXTENSIONS
        openssl x509 -req -sha256 -days 825 -in "$work/server.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
            -set_serial "0x$(openssl rand -hex 16)" -extfile "$work/extensions" -out "$work/server.crt" 2>/dev/null
        echo "$names" >"$work/names"
        put "$work/server.key" "$folder/server.key" 0600 "$owner:$owner"
        put "$work/server.crt" "$folder/server.crt" 0644 root:root
        put "$work/names" "$folder/names" 0644 root:root
    fi
fi
[ -z "$made" ] || echo "made: $made" >&2
cat "$folder/ca.crt" "$folder/server.crt" 2>/dev/null || true
