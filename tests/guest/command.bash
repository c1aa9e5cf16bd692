# shellcheck shell=bash disable=SC2034
# command.bash: what run-guest and run-guest-qemu, which source this, have in common: their options, what
# guest-init reads of COMMAND, and what became of it. They set $here, the folder of this file, and $limit_s.

name=${0##*/} memory_mib=1024 written=()
while getopts t:m:w: option; do
  case $option in
    t) limit_s=$OPTARG ;;
    m) memory_mib=$OPTARG ;;
    w) mkdir -p "$OPTARG" && written+=("$(realpath "$OPTARG")") || exit 125 ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2s/^# /usage: /p' "$0" >&2 && exit 2; }
[ "$(id -u)" = 0 ] || { echo "$name: run this as root" >&2 && exit 125; }

share_command() { # COMMAND: makes the folder $share, which guest-init reads and leaves COMMAND's status in
  share=$(mktemp -d) && trap 'rm -rf "$share"' EXIT
  printf '%s\n' "$*" > "$share/command"
  pwd > "$share/folder"
  export -p > "$share/environment"
  printf '%s\n' "${written[@]}" > "$share/written"
}

end_as_command() { # STATUS of the guest itself, which says something only if COMMAND left none
  [ ! -s "$share/status" ] || exit "$(cat "$share/status")"
  tail -25 "$share/kernel.log" >&2
  if [ "$1" = 124 ]; then
    echo "$name: ended after $limit_s s" >&2
    exit 124
  fi
  echo "$name: the guest ended (status $1) before the command did" >&2
  exit 125
}
