#include "hwmodels/catalogue_reader.h"

namespace foretrain {
namespace {

/// "9.0" -> 90; "gfx942" (AMD) -> 0.
int compute_capability(const SpecNode& spec) {
  const std::string text = spec.as_string();
  const std::size_t dot = text.find('.');
  if (dot == std::string::npos) return 0;
  int number = 0;
  for (const char c : text) {
    if (c == '.') continue;
    if (c < '0' || c > '9' || number > 1000) spec.fail_expected("a compute capability such as \"9.0\"");
    number = 10 * number + (c - '0');
  }
  return number;
}

GpuSpec read_gpu(const CatalogueFile& file, const std::string& name, const SpecNode& row) {
  row.allow_only({"vendor", "architecture", "compute_capability", "form_factor", "aliases", "usual_node", "peak",
                  "memory", "memory_marketed", "memory_bandwidth", "l2_cache", "sm_count", "boost_clock", "tdp_watts",
                  "scale_up_bandwidth", "host_link", "note"});
  GpuSpec gpu;
  gpu.name = name;
  gpu.vendor = row.required("vendor").as_string();
  gpu.architecture = row.required("architecture").as_string();
  gpu.compute_capability = compute_capability(row.required("compute_capability"));
  gpu.usual_node = row.required("usual_node").as_string();
  const SpecNode peaks = row.required("peak");
  peaks.allow_only(kDTypeNames);
  for (std::size_t t = 0; t < kDTypeNames.size(); ++t)
    if (peaks.has(kDTypeNames[t])) gpu.peak[t] = file.fact(peaks, kDTypeNames[t], gpu.source).as_flops_per_second();
  gpu.memory = file.fact(row, "memory", gpu.source).as_bytes();
  gpu.memory_bandwidth = file.fact(row, "memory_bandwidth", gpu.source).as_bytes_per_second();
  gpu.l2_cache = file.fact(row, "l2_cache", gpu.source).as_bytes();
  gpu.sm_count = file.fact(row, "sm_count", gpu.source).as_int();
  gpu.boost_clock = file.fact(row, "boost_clock", gpu.source).as_hertz();
  gpu.tdp_watts = file.fact(row, "tdp_watts", gpu.source).as_real({1, 1e5});
  if (row.has("scale_up_bandwidth"))
    gpu.scale_up_bandwidth = file.fact(row, "scale_up_bandwidth", gpu.source).as_bytes_per_second();
  const SpecNode host = row.required("host_link");
  host.allow_only({"kind", "generation", "bandwidth"});
  gpu.pcie_generation = static_cast<int>(host.required("generation").as_int({0, 9}));
  gpu.pcie_bandwidth = file.fact(host, "bandwidth", gpu.source).as_bytes_per_second();
  return gpu;
}

}  // namespace

GpuTable read_gpus(const SpecNode& root) {
  const CatalogueFile file(root, "foretrain.gpus/1", "gpus");
  GpuTable table;
  for (const auto& [name, row] : file.rows()) {
    add_names(table.names, name, row.required("aliases"), table.gpus.size());
    table.gpus.push_back(read_gpu(file, name, row));
  }
  return table;
}

}  // namespace foretrain
