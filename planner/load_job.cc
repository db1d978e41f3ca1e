#include "base/text.h"
#include "planner/job.h"

namespace foretrain {

Training read_training(const SpecNode& training) {
  training.allow_only({"sequence_length", "global_batch", "precision", "optimizer"});
  Training t;
  t.sequence_length = training.required("sequence_length").as_int({1, 100'000'000});
  t.global_batch = training.required("global_batch").as_int({1, 10'000'000});
  if (const auto precision = training.optional("precision")) {
    t.precision = static_cast<Precision>(precision->as_choice(kPrecisionNames, "precision"));
  }
  if (const auto optimizer = training.optional("optimizer")) {
    // AdamW keeps and moves the same bytes as Adam.
    const bool is_adamw = optimizer->is_string() && to_lower(optimizer->as_string()) == "adamw";
    t.optimizer =
        is_adamw ? Optimizer::adam : static_cast<Optimizer>(optimizer->as_choice(kOptimizerNames, "optimizer"));
  }
  return t;
}

Software read_software(const SpecNode& software) {
  software.allow_only({"framework", "attention", "cuda_graphs", "compile", "version", "overlap", "optimizer"});
  Software s;
  if (const auto framework = software.optional("framework")) {
    s.framework = static_cast<FrameworkKind>(framework->as_choice(kFrameworkNames, "framework"));
  }
  if (const auto attention = software.optional("attention")) {
    s.attention = static_cast<AttentionKind>(attention->as_choice(kAttentionNames, "attention"));
  }
  if (const auto cuda_graphs = software.optional("cuda_graphs")) s.cuda_graphs = cuda_graphs->as_bool();
  if (const auto compile = software.optional("compile")) s.compile = compile->as_bool();
  if (const auto version = software.optional("version")) s.version = version->as_string();
  if (const auto overlap = software.optional("overlap")) s.overlap = overlap->as_string();
  if (const auto optimizer = software.optional("optimizer")) s.optimizer = optimizer->as_string();
  return s;
}

}  // namespace foretrain
