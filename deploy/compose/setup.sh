#!/bin/sh
# Makes a log and three witnesses that know each other, once: keys, configurations, and the policy
# with all of their keys and the quorum. What is there is never changed: it may run at each start.
#
# Each program's files are made beside their place, and renamed when they are whole. The server's
# come last: while they are missing, nothing has run, and whatever stopped this may be repeated.
set -eu
umask 077

: "${CANDOR_ORIGIN:?say the name of the log, for ever: a URL without scheme}"
# Folders: one for each program, with its files in `home`, one for the anchor, one for clients.
root=${SETUP_ROOT:-/candor}
anchor=${SETUP_ANCHOR:-/var/lib/candor-anchor/anchor}
# How the programs reach each other, and where they listen if that is not the same.
server=${SETUP_SERVER_HOST:-server}
witness=${SETUP_WITNESS_HOST:-witness-}
# In plain text a token does not leave the machine: `candor` shares the server's network.
client=${SETUP_CLIENT_HOST:-127.0.0.1}
listen=${SETUP_LISTEN:-}
witnesses="1 2 3"

fail() {
    echo "candor-setup: $*" >&2
    exit 1
}

# Puts a line of a file in the place of another, once.
replace() {
    if grep -qxF -- "$3" "$1"; then return; fi
    grep -qxF -- "$2" "$1" || fail "$1 has no line: $2"
    OLD=$2 NEW=$3 awk '$0 == ENVIRON["OLD"] { $0 = ENVIRON["NEW"] } { print }' "$1" >"$1.edited"
    mv "$1.edited" "$1"
}

# Gives what is whole its place, and keeps both over a power failure.
settle() {
    sync
    mv "$1" "$2"
    sync
}

# A log in $log, with its keys.
make_log() {
    log=$root/server/home
    if [ -e "$log/server.toml" ]; then return; fi
    log=$root/server/home.new
    # A configuration stands for a whole log. Without it nobody has seen the keys.
    if [ -e "$log/server.toml" ]; then return; fi
    for number in $witnesses; do
        [ ! -e "$root/witness-$number/home" ] \
            || fail "the log of witness-$number is missing: put the server's volume back"
    done
    rm -rf "$log"
    candor-server init "$log" --origin "$CANDOR_ORIGIN"
}

# Witness $1 of the log with $keys.
make_witness() {
    home=$root/witness-$1/home
    if [ -e "$home" ]; then
        for key in $keys; do
            grep -qF -- "\"$key\"" "$home/witness.toml" \
                || fail "witness-$1 is another log's: put its volume back, or the server's"
        done
        return
    fi
    new=$home.new
    rm -rf "$new"
    arguments=
    for key in $keys; do arguments="$arguments --log $key"; done
    # Keys have no spaces, and `+` and `/` are no patterns.
    # shellcheck disable=SC2086
    lines=$(candor-witness init "$new" --name "witness-$1.$CANDOR_ORIGIN" \
        --url "http://$witness$1:7380" $arguments)
    printf '%s\n' "$lines" | grep -v '^#' >"$new/policy-lines"
    config=$new/witness.toml
    address=${listen:-$witness$1}
    replace "$config" '# http = "127.0.0.1:7380"' "http = \"$address:7380\""
    replace "$config" '# grpc = "127.0.0.1:7381"' "grpc = \"$address:7381\""
    # Plain text: all of it is signed or verified, and only the log is on this network.
    replace "$config" '# plain_text = "loopback"' 'plain_text = "anywhere"'
    replace "$config" '# grpc = "http://127.0.0.1:8430"' "grpc = \"http://$server:8430\""
    replace "$config" '# log_format = "human"' 'log_format = "json"'
    settle "$new" "$home"
}

# The log's keys, its witnesses, and two of three as the quorum: each with both of its statements.
print_policy() {
    for key in $keys; do echo "log $key"; done
    for number in $witnesses; do
        name=witness-$number.$CANDOR_ORIGIN
        cat "$root/witness-$number/home/policy-lines"
        echo "group w$number all $name $name/map"
    done
    echo "group majority 2 w1 w2 w3"
    echo "quorum majority"
}

# What a client has to know: the policy, and the token of who may register.
make_profile() {
    profile=$root/client/profile
    if [ -e "$profile" ]; then return; fi
    rm -rf "$profile.new"
    mkdir "$profile.new"
    token=$profile.new/registrar-token
    cp "$log/registrar-token" "$token"
    arguments=
    for number in $witnesses; do
        for kind in ed25519 ml-dsa-44; do
            arguments="$arguments --map-witness witness-$number.$CANDOR_ORIGIN/map/$kind"
        done
    done
    # shellcheck disable=SC2086
    candor init "$profile.new" --server "http://$client:8430" --policy "$log/policy.txt" \
        --registrar-token "$token" $arguments
    # The volume is mounted at another place there.
    replace "$profile.new/client.toml" "registrar_token = \"$token\"" \
        'registrar_token = "registrar-token"'
    settle "$profile.new" "$profile"
}

make_log
keys=$(sed -n 's/^log //p' "$log/policy.txt")
[ -n "$keys" ] || fail "$log/policy.txt lists no keys of the log"
for number in $witnesses; do make_witness "$number"; done
if [ "$log" != "$root/server/home" ]; then
    print_policy >"$log/policy.new"
    mv "$log/policy.new" "$log/policy.txt"
    config=$log/server.toml
    replace "$config" 'anchor = "anchor"' "anchor = \"$anchor\""
    replace "$config" 'grpc_listen = "127.0.0.1:8430"' "grpc_listen = \"${listen:-$server}:8430\""
    replace "$config" 'http_listen = "127.0.0.1:8431"' "http_listen = \"${listen:-$server}:8431\""
    # The compose network, which nobody else is on, and ports on this machine's loopback.
    replace "$config" 'plain_text = "loopback"' 'plain_text = "anywhere"'
    settle "$log" "$root/server/home"
    log=$root/server/home
fi
make_profile
echo "candor-setup: $CANDOR_ORIGIN is ready, with $(echo "$witnesses" | wc -w) witnesses"
