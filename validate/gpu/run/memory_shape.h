/// What the makers of memory-bound launches share: a work's shape, and the bytes of the graph that our kernel does not
/// move.
#pragma once

#include "validate/gpu/run/memory_work.h"

namespace foretrain::gpu {

/// The shape of one work.
struct WorkShape {
  MemoryKernel work;
  WorkContext context;
  Storage storage = Storage::bf16;
  std::int64_t rows = 1, cols = 1, count = 1, width = 2;

  [[nodiscard]] const void* in(Operands& o, std::int64_t numbers) const { return o.read(storage, numbers); }
  [[nodiscard]] void* out(Operands& o, std::int64_t numbers) const { return o.write(numbers * width); }
};
/// Of what the graph says the kernel moves, how much is left when `bytes` are moved: half of it is read, half written.
std::int64_t rest_beyond(const MemoryKernel& work, double bytes);
/// Copies `rest` bytes, at most `most` at once.
Launch copies(const void* from, void* to, std::int64_t most, std::int64_t rest);
/// The format of the shape's numbers where they take `bytes`, which differ from the work's format for 16-bit gradients.
Storage stored(const WorkShape& shape, Bytes bytes);
/// An fp32 number for each row.
float* row_numbers(Operands& operands, std::int64_t rows);

/// Rows of this rank's share of the vocabulary, and the gradient of its table.
Bind embedding_work(const WorkShape& shape);
/// The loss over this rank's share of the vocabulary, with its statistics as they come from the other ranks.
Bind loss_work(const WorkShape& shape);

}  // namespace foretrain::gpu
