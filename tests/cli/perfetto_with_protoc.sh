#!/usr/bin/env bash
# A trace of the program, decoded by protoc with Perfetto's schema: perfetto_with_protoc.sh FORETRAIN PROTOC
set -euo pipefail
foretrain=$1
protoc=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "perfetto_with_protoc: $*" >&2; exit 1; }

job=examples/llama3_70b_256_h100/job.json
for name in step.pftrace step.perfetto-trace step.json; do
  "$foretrain" simulate "$job" --trace "$folder/$name" >/dev/null
done
cmp "$folder/step.pftrace" "$folder/step.perfetto-trace"
"$protoc" --decode=perfetto.protos.Trace -I tests/data/perfetto trace_subset.proto <"$folder/step.pftrace" >"$folder/step.txt"

# protoc shows a field that the schema lacks by its number.
! grep -qE '^ *[0-9]+(:| \{)' "$folder/step.txt" || fail "fields that are not Perfetto's"
slices=$(grep -o '"ph":"X"' "$folder/step.json" | wc -l)
begins=$(grep -c 'type: TYPE_SLICE_BEGIN' "$folder/step.txt")
ends=$(grep -c 'type: TYPE_SLICE_END' "$folder/step.txt")
[[ $slices -gt 10000 && $begins == "$slices" && $ends == "$slices" ]] || fail "$slices slices, $begins begin, $ends end"
arrows=$(grep -o '"ph":"s"' "$folder/step.json" | wc -l)
flows=$(grep -c ' flow_ids:' "$folder/step.txt")
[[ $arrows -gt 1000 && $flows == "$arrows" ]] || fail "$arrows arrows, $flows flows"
grep -qE 'name: "all_gather [0-9.]+ [kMG]B (ring|tree|nvls|nvls_tree) (ll|ll128|simple)"' "$folder/step.txt" || fail "no named collective"
grep -q 'unit_name: "bytes/s"' "$folder/step.txt" || fail "no link counter"
