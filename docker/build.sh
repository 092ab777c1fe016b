#!/usr/bin/env bash
# Builds Millrace's four images: docker/build.sh [--with docker|podman|buildah] [TARGET...]
# Uses docker where an engine answers, else podman, else buildah.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool=
if [[ ${1:-} == --with ]]; then
  tool=${2:?--with needs docker, podman or buildah}
  shift 2
elif docker info > /dev/null 2>&1; then
  tool=docker
else
  for candidate in podman buildah; do
    if command -v "$candidate" > /dev/null; then
      tool=$candidate
      break
    fi
  done
fi
[[ -n $tool ]] || {
  echo "docker/build.sh: needs docker, podman or buildah" >&2
  exit 1
}

# More options for podman or buildah, e.g. --isolation chroot where there are no namespaces.
read -ra options <<< "${MILLRACE_BUILD_OPTIONS:-}"
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(broker api transcoder edge)
for target in "${targets[@]}"; do
  case $tool in
    # In docker's own format: the older OCI one has no health checks.
    buildah | podman)
      "$tool" build --layers --format docker "${options[@]}" \
        -f docker/Dockerfile --target "$target" -t "millrace-$target" .
      ;;
    docker) docker build -f docker/Dockerfile --target "$target" -t "millrace-$target" . ;;
    *)
      echo "docker/build.sh: cannot build with '$tool'" >&2
      exit 1
      ;;
  esac
done
