#!/usr/bin/env bash
# Builds the Debian packages from this tree's files and has lintian look at them.
#
# usage: build.sh FOLDER [JOBS]      FOLDER then has the .deb files; it is emptied first
set -euo pipefail
folder=$(realpath -m "$1")
jobs=${2:-$(nproc)}
cd "$(dirname "$(readlink -f "$0")")/../.."
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)

declared=$(sed -n 's/^project(rtd VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
if [[ $declared != "$version" ]]; then
  echo "packaging/debian/changelog says version $version, CMakeLists.txt $declared" >&2
  exit 1
fi

rm -rf "$folder"
source=$folder/rtd-$version
mkdir -p "$source"
# What git knows or would: a build folder or a secret that lies about gets into no package.
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
  tar --create --null --files-from=- | tar --extract --directory "$source"
mv "$source/packaging/debian" "$source/debian"
rm "$source/debian/build.sh"

export DEB_BUILD_OPTIONS="parallel=$jobs ${DEB_BUILD_OPTIONS:-}"
log=$folder/build.log
(cd "$source" && dpkg-buildpackage --build=binary --no-sign) >"$log" 2>&1 ||
  { tail -n 60 "$log" >&2; echo "the packages are not built: above, and all of it in $log" >&2; exit 1; }
# The tree that was built, for tests with the very programs that are shipped.
lintian --allow-root --fail-on error,warning --display-info "$folder"/*.changes
