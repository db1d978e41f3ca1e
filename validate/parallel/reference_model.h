/// A small model on one machine in double precision, forward, backward and Adam: the unsharded reference.
#pragma once

#include <map>
#include <string>

#include "validate/parallel/math.h"
#include "validate/parallel/reference_layers.h"
#include "validate/parallel/small_model.h"

namespace foretrain::parallel {

enum class DropSite : std::uint8_t { embedding, attention, after_attention, after_mlp };

/// One element that dropout may drop, in the coordinates of the whole model and batch.
struct DropElement {
  DropSite site = DropSite::embedding;
  std::int64_t layer = 0;
  std::int64_t sequence_number = 0;  ///< in the batch
  std::int64_t position = 0;         ///< of the token, or query
  std::int64_t column = 0;           ///< or head
  std::int64_t key = 0;              ///< attention only
};

/// What an element is multiplied by. Empty: nothing is dropped.
using DropRule = std::function<double(const DropElement&)>;

/// By "unit/name", as Weights.
using ReferenceWeights = std::map<std::string, Matrix>;

class ReferenceModel {
 public:
  ReferenceModel(const SmallModel& model, const Weights& weights);

  /// Mean loss per token of sequences 0 .. sequences - 1 of a step, each with its token_ids; fills gradients().
  double compute_gradients(std::int64_t step, std::int64_t sequences, const DropRule& rule);
  /// Adam with double moments. `step` counts from 1.
  void update(const AdamOptions& options, std::int64_t step);

  ReferenceWeights& weights() { return weights_; }
  const ReferenceWeights& gradients() const { return gradients_; }

  /// One layer's attention and MLP alone, without norm and residual, for a sequence x [sequence, hidden]. `backward`
  /// adds to gradients() and gives dx.
  Matrix attention(std::int64_t layer, const Matrix& x, std::int64_t sequence_number, const DropRule& rule) const;
  Matrix attention_backward(std::int64_t layer, const Matrix& x, std::int64_t sequence_number, const DropRule& rule,
                            const Matrix& dy);
  Matrix mlp(std::int64_t layer, const Matrix& x) const;
  Matrix mlp_backward(std::int64_t layer, const Matrix& x, const Matrix& dy);
  void clear_gradients();

 private:
  const Matrix& weight(std::int64_t layer, const std::string& name) const;
  const Matrix* bias(const std::string& name) const;
  Matrix* bias_gradient(const std::string& name);
  Matrix project(std::int64_t layer, const std::string& name, const Matrix& x) const;
  Matrix project_backward(std::int64_t layer, const std::string& name, const Matrix& x, const Matrix& dy);
  Matrix norm(const std::string& prefix, const Matrix& x) const;
  Matrix norm_backward(const std::string& prefix, const Matrix& x, const Matrix& dy);
  double add_sequence(const std::vector<int>& ids, std::int64_t sequence_number, const DropRule& rule, double factor);

  SmallModel model_;
  ReferenceWeights weights_;
  ReferenceWeights gradients_;
  ReferenceWeights means_;
  ReferenceWeights squares_;
};

}  // namespace foretrain::parallel
