/// torchtitan's models by flavour, as far as we know the same shapes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "planner/model.h"

namespace foretrain {

struct TitanFlavor {
  std::string_view module, flavor;  ///< "llama3", "8B"
  std::string_view model;           ///< the same model in our catalogue
  std::int64_t layers, hidden, heads, kv_heads, ffn_hidden;
};
/// Source: pytorch/torchtitan torchtitan/models/llama3/__init__.py, models/qwen3/__init__.py (b5bcd76c66d0, v0.2.2).
inline constexpr std::array kTitanFlavors = {
    TitanFlavor{"llama3", "1B", "llama-3.2-1b", 16, 2048, 32, 8, 8192},
    TitanFlavor{"llama3", "3B", "llama-3.2-3b", 28, 3072, 24, 8, 8192},
    TitanFlavor{"llama3", "8B", "llama-3.1-8b", 32, 4096, 32, 8, 14336},
    TitanFlavor{"llama3", "70B", "llama-3.1-70b", 80, 8192, 64, 8, 28672},
    TitanFlavor{"llama3", "405B", "llama-3.1-405b", 126, 16384, 128, 8, 53248},
    TitanFlavor{"qwen3", "0.6B", "qwen3-0.6b", 28, 1024, 16, 8, 3072},
    TitanFlavor{"qwen3", "1.7B", "qwen3-1.7b", 28, 2048, 16, 8, 6144},
    TitanFlavor{"qwen3", "4B", "qwen3-4b", 36, 2560, 32, 8, 9728},
    TitanFlavor{"qwen3", "8B", "qwen3-8b", 36, 4096, 32, 8, 12288},
    TitanFlavor{"qwen3", "14B", "qwen3-14b", 40, 5120, 40, 8, 17408},
    TitanFlavor{"qwen3", "32B", "qwen3-32b", 64, 5120, 64, 8, 25600},
};

/// The flavour of these shapes; nullptr when torchtitan has none.
inline const TitanFlavor* titan_flavor(const ModelSpec& m) {
  for (const TitanFlavor& f : kTitanFlavors) {
    if (f.layers == m.layers && f.hidden == m.hidden && f.heads == m.heads && f.kv_heads == m.kv_heads &&
        f.ffn_hidden == m.ffn_hidden && (m.qk_norm_params > 0) == (f.module == "qwen3") && !m.moe)
      return &f;
  }
  return nullptr;
}

}  // namespace foretrain
