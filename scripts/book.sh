#!/usr/bin/env bash
# Builds the book out of docs/ into target/book, and checks that each of its links leads somewhere. Installs mdbook where it
# is missing. Its Rust programs are compiled by `cargo test --doc`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_cargo
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
if ! command -v mdbook >/dev/null; then
  say "installing mdbook"
  cargo install mdbook --locked --quiet --no-default-features --version "^0.5" >&2
fi

# A page that no chapter names is not in the book.
for page in docs/*.md docs/decisions/*.md; do
  page=${page#docs/}
  [ "$page" = SUMMARY.md ] || grep -qF "($page)" docs/SUMMARY.md || die "docs/$page is missing in docs/SUMMARY.md"
done

# Pages link to the README and to the defaults, which lie outside of docs/: the book has them as pages of its own.
source=target/book-source
rm -rf "$source"
mkdir -p target
cp -r docs "$source"
perl -0pe 's/\]\(docs\//](/g; s/\[([^\]]*)\]\((?!https?:|#)(?![^)]*\.md[)#])[^)]*\)/$1/g; s/\[([^\]]*)\]\(CHANGELOG\.md\)/$1/g' \
  README.md >"$source/introduction.md"
{ printf '# All keys\n\n```toml\n'; cat config/default.toml; printf '```\n'; } >"$source/keys.md"
find "$source" -name '*.md' -exec perl -pi -e 's/\]\(\.\.\/README\.md/](introduction.md/g; s/\]\(\.\.\/config\/default\.toml/](keys.md/g' {} +
{ printf '# Summary\n\n[Rachis](introduction.md)\n'; sed 1,2d "$source/SUMMARY.md"; } >"$source/SUMMARY.new"
mv "$source/SUMMARY.new" "$source/SUMMARY.md"
perl -pi -e 's/^(- \[Configuration\].*)$/$1\n  - [All keys](keys.md)/' "$source/SUMMARY.md"
MDBOOK_BOOK__SRC="$source" mdbook build

# Links of the built book: relative ones lead to a file, and anchors to a heading.
broken=0
while read -r page; do
  folder=$(dirname "$page")
  while read -r link; do
    file=${link%%#*}
    anchor=
    [ "$file" = "$link" ] || anchor=${link#*#}
    target=$page
    [ -z "$file" ] || target=$folder/$file
    if [ ! -e "$target" ]; then
      say "$page: $link leads nowhere"
      broken=1
    elif [ -n "$anchor" ] && ! grep -qF "id=\"$anchor\"" "$target"; then
      say "$page: $link names no heading"
      broken=1
    fi
  done < <(perl -0ne 's/.*<main>(.*)<\/main>.*/$1/s; print "$1\n" while /(?:href|src)="(?!https?:|mailto:|data:)([^"]+)"/g' "$page" | sort -u)
done < <(find target/book -name '*.html' ! -name print.html ! -name toc.html ! -name 404.html)
[ "$broken" = 0 ] || die "the book has broken links"
