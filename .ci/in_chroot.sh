#!/usr/bin/env bash
# in_chroot.sh RELEASE COMMAND [ARGUMENT...]: runs a command at the root of this clone, on a bare
# Debian. RELEASE is debian12 or debian13.
#
# The Debian is made by debootstrap at the first run and kept in build/chroot (or in
# MILLRACE_CHROOT_DIR), with what was built and what ./dev has installed in it. The command sees the
# clone read-only, with a build/ of its own. All mounts, and all processes that the command leaves
# behind, are in namespaces that end with it. Needs root or sudo.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  printf 'in_chroot.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

# The mirror that this machine uses, if it runs Debian.
mirror() {
  # shellcheck disable=SC2016  # the names are apt-get's
  apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' 2> /dev/null |
    sed -n 1p | grep . || echo http://deb.debian.org/debian
}

# make_chroot CODENAME FOLDER
make_chroot() {
  command -v debootstrap > /dev/null ||
    { apt-get update -q && apt-get install -y -q --no-install-recommends debootstrap; } >&2
  printf '== making %s with debootstrap\n' "$2" >&2
  rm -rf "$2.partial"
  debootstrap --variant=minbase "$1" "$2.partial" "$(mirror)" >&2
  # What is lost in a power cut is made again; without fsync packages install several times faster.
  echo force-unsafe-io > "$2.partial/etc/dpkg/dpkg.cfg.d/unsafe-io"
  mv "$2.partial" "$2"
}

# In the namespaces: mount_all FOLDER
mount_all() {
  local folder=$1
  mkdir -p "$folder"/{srv/millrace,var/cache/millrace-build,media} "$root/build"
  find "$folder/tmp" -mindepth 1 -delete
  mount -t proc proc "$folder/proc"
  mount --rbind /sys "$folder/sys"
  mount --rbind /dev "$folder/dev"
  mount --bind "$root" "$folder/srv/millrace"
  mount -o remount,bind,ro "$folder/srv/millrace"
  mount --bind "$folder/var/cache/millrace-build" "$folder/srv/millrace/build"
  [[ -z ${MILLRACE_MEDIA_DIR:-} ]] || mount --bind "$MILLRACE_MEDIA_DIR" "$folder/media"
}

# run_in FOLDER COMMAND...
run_in() {
  local folder=$1
  shift
  mount_all "$folder"
  # Not exec: this shell is the first process of its namespace and reaps what others leave behind.
  # shellcheck disable=SC2016
  env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ${MILLRACE_MEDIA_DIR:+MILLRACE_MEDIA_DIR=/media} \
    chroot "$folder" sh -c 'cd /srv/millrace && exec "$@"' sh "$@"
  exit $?
}

if [[ ${1:-} == --in-namespace ]]; then
  shift
  run_in "$@"
fi

[[ $# -ge 2 ]] || fail 'usage: in_chroot.sh debian12|debian13 COMMAND [ARGUMENT...]' 2
case $1 in
  debian12) codename=bookworm ;;
  debian13) codename=trixie ;;
  *) fail "there is no release '$1': debian12 or debian13" 2 ;;
esac
kept=MILLRACE_MEDIA_DIR,MILLRACE_CHROOT_DIR,http_proxy,https_proxy
[[ $EUID == 0 ]] || exec sudo --preserve-env="$kept" "${BASH_SOURCE[0]}" "$@"
folder=${MILLRACE_CHROOT_DIR:-$root/build/chroot}/$1
shift
mkdir -p "$(dirname "$folder")"
exec {lock}> "$folder.lock"
flock -n "$lock" || fail "another run uses $folder"
[[ -d $folder ]] || make_chroot "$codename" "$folder"
exec unshare --mount --propagation private --pid --fork --kill-child \
  "${BASH_SOURCE[0]}" --in-namespace "$folder" "$@"
