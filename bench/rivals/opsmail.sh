#!/bin/sh
# opsmail.sh FOLDER - the shell script that a sysadmin would write instead of mailsudo, with openssl and oathtool.
# `make bench` compares mailsudo with it.
#
# Takes one mail from standard input, and makes the same checks in the same order as opsmail.py beside it, with the same
# files. It reads no MIME, only plain text, which is an advantage here. Its weaknesses: the HMAC key is in openssl's
# arguments for a moment, and macs are not compared in constant time.
set -u
umask 077
folder=$1
limit=262144

# A temporary failure keeps the mail in the queue.
later() { logger -t opsmail -p authpriv.err "deferred: $1"; exit 75; }
refuse() { logger -t opsmail -p authpriv.notice "refused: $1"; exit 0; }

work=$(mktemp -d) || later mktemp
trap 'rm -rf "$work"' EXIT
mail=$work/mail block=$work/block
head -c $((limit + 1)) >"$mail" || later 'no mail'
[ "$(stat -c %s "$mail")" -le $limit ] || refuse 'too large'

# One pass over the mail: how many senders, the sender's address, how many blocks; the block goes to a file of its own.
found=$(awk -v block="$block" '
    !body && /^\r?$/ { body = 1; next }
    !body && tolower($0) ~ /^from:/ { senders++; from = $0; sub(/^[^:]*:[ \t]*/, "", from); sub(/.*</, "", from); sub(/>.*/, "", from) }
    !body { next }
    { sub(/\r$/, ""); gsub(/^[ \t]+|[ \t]+$/, "") }
    /^mailsudo: *[0-9]+$/ { blocks++; inside = 1 }
    inside { print >block }
    /^mac: / { inside = 0 }
    END { print senders + 0, blocks + 0, from }
' "$mail") || later awk
set -- $found
[ "$1" = 1 ] || refuse 'not one sender'
[ "$2" = 1 ] || refuse "$2 blocks"
from=${3-}

line=0
keys='mailsudo gateway user time totp command mac '
while read -r key value rest; do
    expected=${keys%% *}
    keys=${keys#* }
    [ "$key" = "$expected:" ] && [ -z "$rest" ] || refuse 'malformed block'
    case $expected in
    mailsudo) [ "$value" = 1 ] || refuse 'unsupported version' ;;
    gateway) to=$value ;;
    user) user=$value ;;
    time) time=$value ;;
    totp) code=$value ;;
    command) command=$value ;;
    mac) mac=$value ;;
    esac
done <"$block"
[ -z "$keys" ] || refuse 'malformed block'
case $user$command in *[!a-z0-9._-]* | *..* | .*) refuse 'malformed block' ;; esac
case $time in ????-??-??T??:??:??Z) ;; *) refuse 'malformed block' ;; esac

key=0000000000000000000000000000000000000000000000000000000000000000 address=
[ ! -f "$folder/users.d/$user" ] || . "$folder/users.d/$user"
should=$(sed '$d' "$block" | openssl dgst -sha256 -mac hmac -macopt "hexkey:$key" -r) || later openssl
[ "${should%% *}" = "$mac" ] && [ -n "$address" ] || refuse 'bad mac'
. "$folder/gateway"
[ "$to" = "$name" ] && [ "$from" = "$address" ] || refuse 'other gateway or sender'

# Only one process can make a folder, so the folder is the lock too.
[ ! -d "$memory/mac-$mac" ] || refuse duplicate
signed=$(date -u -d "$time" +%s) || refuse 'impossible date'
age=$(($(date +%s) - signed))
[ $age -le "$max_age" ] && [ $age -ge -120 ] || refuse stale
codes=$(printf '%s' "$totp" | oathtool --totp --base32 --window=2 --now="@$((signed - 30))" -) || later oathtool
set -- $codes
case $code in
"$2") step=$((signed / 30)) ;;
"$1") step=$((signed / 30 - 1)) ;;
"$3") step=$((signed / 30 + 1)) ;;
*) refuse 'bad code' ;;
esac
mkdir "$memory/step-$user-$step" 2>/dev/null || refuse 'code used before'
mkdir "$memory/mac-$mac" 2>/dev/null || refuse duplicate
sync "$memory" || later sync

[ -f "$folder/commands.d/$command" ] || refuse 'unknown command'
permitted=$roles
. "$folder/commands.d/$command"
allowed=
for role in $permitted; do
    case " $roles " in *" $role "*) allowed=yes ;; esac
done
[ "$allowed" ] || refuse forbidden

set -- /usr/bin/timeout --kill-after=5s 60s $argv
[ "$run_via" != sudo ] || set -- /usr/bin/sudo -n -u "$run_as" -- "$@"
logger -t opsmail -p authpriv.info "started for $user: $*"
(umask 022 && cd / && exec env -i LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@") >"$work/output" 2>&1 </dev/null
status=$?
echo "exit-$status" >"$memory/mac-$mac/outcome"
sync "$memory/mac-$mac/outcome"
logger -t opsmail -p authpriv.info "finished for $user: exit-$status"

{
    printf 'From: <%s>\nTo: <%s>\nSubject: [%s] %s: exit %s\n' "$reply_from" "$address" "$name" "$command" $status
    printf 'Auto-Submitted: auto-replied\n\n'
    cat "$work/output"
} | /usr/sbin/sendmail -i -f '<>' -- "$address" || later sendmail
