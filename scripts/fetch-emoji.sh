#!/bin/sh
# Fetches the emoji packages that the training data is made of, with the ordinary npm client, into data/emoji.
# Run it again after an interruption: what is there and whole is kept.
#
#   scripts/fetch-emoji.sh [FOLDER]
#
# Pictures: Fluent Emoji by Microsoft, MIT licence. Names: emojibase, MIT licence.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-$root/data/emoji}

packages='
@lobehub/fluent-emoji-anim-1@1.0.0
@lobehub/fluent-emoji-anim-2@1.0.0
@lobehub/fluent-emoji-anim-3@1.0.0
@lobehub/fluent-emoji-anim-4@1.0.0
@lobehub/fluent-emoji-3d@1.1.0
emojibase-data@17.0.0
'

for tool in npm tar; do
    command -v "$tool" >/dev/null || { echo "$tool is missing; install it and run this again" >&2; exit 1; }
done
mkdir -p "$target"

# A package that is unpacked has this mark; it is set last.
for package in $packages; do
    name=$(printf '%s' "$package" | sed -e 's/^@//' -e 's|/|-|' -e 's/@/-/')
    folder=$target/$name
    if [ -e "$folder/.complete" ]; then
        echo "$name: here"
        continue
    fi
    echo "$name: fetching"
    archive=$target/$name.tgz
    if ! tar -tzf "$archive" >/dev/null 2>&1; then
        rm -f "$archive"
        (cd "$target" && npm pack --silent "$package" >/dev/null)
    fi
    tar -tzf "$archive" >/dev/null || { echo "$archive is damaged; run this again" >&2; exit 1; }
    rm -rf "$folder" "$folder.tmp"
    mkdir "$folder.tmp"
    tar -xzf "$archive" -C "$folder.tmp" --strip-components=1
    touch "$folder.tmp/.complete"
    mv "$folder.tmp" "$folder"
    rm "$archive"
done

animated=$(find "$target" -path '*fluent-emoji-anim-*/assets/*.webp' | wc -l)
[ "$animated" -gt 3000 ] || { echo "only $animated animated pictures in $target; remove it and run this again" >&2; exit 1; }
[ -s "$target/emojibase-data-17.0.0/zh/data.json" ] || { echo "the Chinese names are missing in $target; remove it and run this again" >&2; exit 1; }
echo "all packages are in $target; next: kinora data pack $target data/emoji.pack"
