/// One work with operands of its own, for checks: numbers in, launch, numbers out.
#pragma once

#include <string>
#include <vector>

#include "validate/gpu/run/kernel_work.h"
#include "validate/gpu/run/operand_memory.h"
#include "validate/reference/number_format.h"
#include "validate/reference/values.h"

namespace foretrain::gpu {

const reference::NumberFormat& format_of(Storage storage);

/// `count` numbers spread over (-size, size) that the format holds exactly, different for each seed.
reference::Values random_numbers(Storage storage, std::int64_t count, std::uint64_t seed, double size = 1);

class BoundWork {
 public:
  BoundWork(const StepWork& work, const WorkContext& context, const std::shared_ptr<Libraries>& libraries);

  /// The `index`-th operand of a region (all formats of numbers count as one) gets these numbers.
  void set_number(std::size_t index, const reference::Values& values);
  void set_state(std::size_t index, const reference::Values& values);
  void set_tokens(const std::vector<std::int64_t>& tokens);
  void run();
  [[nodiscard]] reference::Values result(std::size_t index, Storage storage) const;
  [[nodiscard]] reference::Values state(std::size_t index) const;
  [[nodiscard]] reference::Values squares(std::size_t index) const;
  [[nodiscard]] reference::Values scratch(std::size_t index) const;  ///< fp32

 private:
  [[nodiscard]] const OperandPlace& place(Region region, std::size_t index) const;

  std::string name_;
  OperandMemory memory_;
  std::vector<OperandPlace> places_;
  Launch launch_;
};

/// What one check came to. `detail` says how large the largest error was.
struct CheckResult {
  std::string name;
  bool passed = false;
  std::string detail;
};

/// How far results may be from the reference: `steps` fp32 roundings of numbers as large as `size`, then one to
/// storage.
struct Allowance {
  Storage storage = Storage::bf16;
  double steps = 8, size = 1;
};
/// Passes when every |got - want| is allowed; NaN and wrong counts fail.
CheckResult compare(std::string name, const reference::Values& got, const reference::Values& want,
                    const Allowance& allowance);

/// Our kernels and the libraries against the references on the CPU.
std::vector<CheckResult> check_kernels();

}  // namespace foretrain::gpu
