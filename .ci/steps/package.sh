# The package as others get it: what it brings along, for which compiler, under
# which licences, with which public names.

# At most 18 crates with larder, none of them a proc macro (those cost everyone
# a parser).
few_dependencies() {
  local crates macros
  crates=$(cargo tree -p larder -e normal,build --prefix none --no-dedupe | sort -u | wc -l)
  macros=$(cargo tree -p larder -e normal,build --prefix none --no-dedupe | grep -c '(proc-macro)' || true)
  printf '%s crates with larder, %s proc macros\n' "$crates" "$macros"
  [ "$crates" -le 18 ] && [ "$macros" -eq 0 ]
}

build_time() {
  local dir begin
  dir=$(mktemp -d)
  cargo fetch --quiet
  begin=$(date +%s%N)
  CARGO_TARGET_DIR=$dir cargo build --quiet --offline -p larder
  printf 'clean build of the default features: %s ms\n' $((($(date +%s%N) - begin) / 1000000))
  rm -rf "$dir"
}

# The terms of all that users build along, in any combination of features. Each
# asks for a notice and no more; one that is not listed has to be read first.
licences() {
  local found
  found=$(cargo tree --workspace -e normal,build --all-features --prefix none --no-dedupe \
    --format '{l}' | sed '/^$/d' | sort -u)
  printf '%s\n' "$found"
  ! grep -vxF -e 'MIT OR Apache-2.0' -e 'Apache-2.0 OR MIT' -e 'MIT/Apache-2.0' \
    -e 'BSD-2-Clause OR Apache-2.0 OR MIT' -e '(MIT OR Apache-2.0) AND Unicode-3.0' <<<"$found"
}

# Known faults in what is built along are listed in a database that is kept on
# a host of its own. Where that can be reached, it is asked.
advisories() {
  if command -v cargo-audit >/dev/null && cargo audit --quiet --fetch 2>/dev/null; then
    cargo audit
  else
    echo 'the database of advisories cannot be reached from here: NOT checked'
  fi
}

# The public names and their signatures are those of a committed listing, so
# that none changes unseen. After an intended change: .ci/public-api/run --renew
public_api() {
  .ci/public-api/run
}

# Both packages build from exactly the files that would be published, with all
# features, and against each other.
packaged() {
  cargo package --workspace --all-features --allow-dirty
}

no_default_features() {
  cargo test -p larder --no-default-features --lib
  cargo clippy -p larder --all-targets --no-default-features -- -D warnings
}

# The oldest compiler that is promised. Debian ships one; it is unpacked beside
# the build, never installed. Where there is none to be had, the lint that
# knows when each function of `std` appeared has to do.
msrv() {
  local rustc
  if rustc=$(old_rustc); then
    "$rustc" --version
    RUSTC=$rustc CARGO_TARGET_DIR=target/msrv cargo check -p larder --all-features
  else
    echo 'no compiler of that age here: only the lint incompatible_msrv was checked'
    cargo clippy -p larder --all-features -- -D clippy::incompatible_msrv
  fi
}

old_rustc() {
  local dir=$PWD/target/msrv-rustc package version
  if [ ! -x "$dir/rustc" ]; then
    rm -rf "$dir" && mkdir -p "$dir"
    apt update >/dev/null 2>&1 || true
    for package in rustc-web libstd-rust-web-1.85 libstd-rust-web-dev libllvm19; do
      case $package in
        libllvm*) version= ;;
        *)
          version=$(apt-cache madison "$package" 2>/dev/null | awk '$3 ~ /^1\.85/ {print $3; exit}')
          [ -n "$version" ] || return 1
          ;;
      esac
      (cd "$dir" && apt download "$package${version:+=$version}" >/dev/null 2>&1) || return 1
    done
    for package in "$dir"/*.deb; do dpkg -x "$package" "$dir" && rm "$package" || return 1; done
    cat >"$dir/rustc" <<WRAP
#!/bin/sh
LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu" exec "$dir/usr/bin/rustc" --sysroot "$dir/usr" "\$@"
WRAP
    chmod +x "$dir/rustc"
  fi
  "$dir/rustc" --version >/dev/null 2>&1 || return 1
  echo "$dir/rustc"
}
