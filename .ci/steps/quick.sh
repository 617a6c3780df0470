# The quick tier: what fails most often, within 5 minutes.

need_components() {
  local part
  for part in clippy rustfmt; do
    rustup component list --installed 2>/dev/null | grep -q "^$part" || rustup component add "$part"
  done
}

files_are_short() {
  local long
  long=$(git ls-files '*.rs' | xargs wc -l | awk '$2 != "total" && $1 > 900')
  [ -z "$long" ] || { printf 'over 900 lines:\n%s\n' "$long"; return 1; }
}

# The files that SECURITY.md names, and no other. (That each block says why it
# is right, clippy sees to.)
few_unsafe_files() {
  local found named
  found=$(git ls-files 'src/*.rs' | grep -v -e /models -e sync/ | xargs grep -lE '^\s*unsafe (impl|fn)|unsafe \{' | sort)
  named=$(grep -oE '^\| `src/[^`]+`' SECURITY.md | tr -d '|` ' | sort)
  printf '%s\n' "$found"
  [ "$found" = "$named" ] || { printf 'SECURITY.md names:\n%s\n' "$named"; return 1; }
}

docs() {
  RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --all-features --document-private-items
}

# The core without the stores: no feature, and no database to build for them.
core_tests() {
  cargo test -p larder --lib --test behaviour --test expiry --test model --test loads --test threads
}
