#include "validate/parallel/reference_model.h"

#include <cmath>

namespace foretrain::parallel {
namespace {

std::string layer_name(std::int64_t layer, const std::string& name) {
  return "layer " + std::to_string(layer) + "/" + name;
}

/// x with each element [position, column] of a dropout site multiplied as the rule says.
Matrix dropped(Matrix x, const DropRule& rule, DropElement element) {
  if (!rule) return x;
  for (element.position = 0; element.position < x.rows; ++element.position) {
    for (element.column = 0; element.column < x.columns; ++element.column)
      x(element.position, element.column) *= rule(element);
  }
  return x;
}

}  // namespace

ReferenceModel::ReferenceModel(const SmallModel& model, const Weights& weights) : model_(model) {
  for (const UnitSpec& unit : units_of(model)) {
    for (const ParameterSpec& spec : unit.parameters) {
      Matrix value(spec.rows, spec.columns);
      const std::string name = unit.name + "/" + spec.name;
      const std::vector<float>& floats = weights.at(name);
      value.values.assign(floats.begin(), floats.end());
      weights_[name] = value;
      means_[name] = squares_[name] = Matrix(spec.rows, spec.columns);
    }
  }
  clear_gradients();
}

void ReferenceModel::clear_gradients() {
  for (const auto& entry : weights_) gradients_[entry.first] = Matrix(entry.second.rows, entry.second.columns);
}

const Matrix& ReferenceModel::weight(std::int64_t layer, const std::string& name) const {
  return weights_.at(layer_name(layer, name));
}

const Matrix* ReferenceModel::bias(const std::string& name) const {
  const auto found = weights_.find(name);
  return found == weights_.end() ? nullptr : &found->second;
}

Matrix* ReferenceModel::bias_gradient(const std::string& name) {
  const auto found = gradients_.find(name);
  return found == gradients_.end() ? nullptr : &found->second;
}

Matrix ReferenceModel::project(std::int64_t layer, const std::string& name, const Matrix& x) const {
  return reference_linear(x, weight(layer, name + " weight"), bias(layer_name(layer, name + " bias")));
}

Matrix ReferenceModel::project_backward(std::int64_t layer, const std::string& name, const Matrix& x,
                                        const Matrix& dy) {
  return reference_linear_backward(x, weight(layer, name + " weight"), dy,
                                   gradients_.at(layer_name(layer, name + " weight")),
                                   bias_gradient(layer_name(layer, name + " bias")));
}

Matrix ReferenceModel::norm(const std::string& prefix, const Matrix& x) const {
  return reference_norm(x, weights_.at(prefix + "weight"), bias(prefix + "bias"));
}

Matrix ReferenceModel::norm_backward(const std::string& prefix, const Matrix& x, const Matrix& dy) {
  return reference_norm_backward(x, weights_.at(prefix + "weight"), dy, gradients_.at(prefix + "weight"),
                                 bias_gradient(prefix + "bias"));
}

namespace {

ReferenceAttention attention_options(const SmallModel& model, std::int64_t layer, std::int64_t sequence_number,
                                     const DropRule& rule) {
  return {model.heads, model.kv_heads, [=](std::int64_t head, std::int64_t query, std::int64_t key) {
            return rule ? rule({DropSite::attention, layer, sequence_number, query, head, key}) : 1.0;
          }};
}

}  // namespace

Matrix ReferenceModel::attention(std::int64_t layer, const Matrix& x, std::int64_t sequence_number,
                                 const DropRule& rule) const {
  Matrix q = project(layer, "query", x);
  Matrix k = project(layer, "key", x);
  const Matrix v = project(layer, "value", x);
  if (model_.family == Family::llama) {
    q = reference_rotate(q, model_.head_dim, 1);
    k = reference_rotate(k, model_.head_dim, 1);
  }
  return project(layer, "output",
                 reference_attention(attention_options(model_, layer, sequence_number, rule), q, k, v));
}

Matrix ReferenceModel::attention_backward(std::int64_t layer, const Matrix& x, std::int64_t sequence_number,
                                          const DropRule& rule, const Matrix& dy) {
  const bool rotary = model_.family == Family::llama;
  Matrix q = project(layer, "query", x);
  Matrix k = project(layer, "key", x);
  const Matrix v = project(layer, "value", x);
  if (rotary) {
    q = reference_rotate(q, model_.head_dim, 1);
    k = reference_rotate(k, model_.head_dim, 1);
  }
  const ReferenceAttention options = attention_options(model_, layer, sequence_number, rule);
  const Matrix dout = project_backward(layer, "output", reference_attention(options, q, k, v), dy);
  Matrix dq(q.rows, q.columns);
  Matrix dk(k.rows, k.columns);
  Matrix dv(v.rows, v.columns);
  reference_attention_backward(options, q, k, v, dout, dq, dk, dv);
  if (rotary) {
    dq = reference_rotate(dq, model_.head_dim, -1);
    dk = reference_rotate(dk, model_.head_dim, -1);
  }
  return project_backward(layer, "query", x, dq) + project_backward(layer, "key", x, dk) +
         project_backward(layer, "value", x, dv);
}

Matrix ReferenceModel::mlp(std::int64_t layer, const Matrix& x) const {
  const Matrix up = project(layer, "up", x);
  if (model_.family == Family::gpt) return project(layer, "down", reference_activation(nullptr, up));
  const Matrix gate = project(layer, "gate", x);
  return project(layer, "down", reference_activation(&gate, up));
}

Matrix ReferenceModel::mlp_backward(std::int64_t layer, const Matrix& x, const Matrix& dy) {
  const Matrix up = project(layer, "up", x);
  Matrix dup(up.rows, up.columns);
  if (model_.family == Family::gpt) {
    const Matrix dactive = project_backward(layer, "down", reference_activation(nullptr, up), dy);
    reference_activation_backward(nullptr, up, dactive, nullptr, dup);
    return project_backward(layer, "up", x, dup);
  }
  const Matrix gate = project(layer, "gate", x);
  Matrix dgate(up.rows, up.columns);
  const Matrix dactive = project_backward(layer, "down", reference_activation(&gate, up), dy);
  reference_activation_backward(&gate, up, dactive, &dgate, dup);
  return project_backward(layer, "up", x, dup) + project_backward(layer, "gate", x, dgate);
}

double ReferenceModel::add_sequence(const std::vector<int>& ids, std::int64_t sequence_number, const DropRule& rule,
                                    double factor) {
  const std::vector<int> targets(ids.begin() + 1, ids.end());
  const auto element = [&](DropSite site, std::int64_t layer) {
    return DropElement{site, layer, sequence_number, 0, 0, 0};
  };
  Matrix x(model_.sequence, model_.hidden);
  for (std::int64_t p = 0; p < x.rows; ++p) {
    for (std::int64_t c = 0; c < x.columns; ++c) {
      x(p, c) = weights_.at("words/weight")(ids[static_cast<std::size_t>(p)], c);
      if (model_.family == Family::gpt) x(p, c) += weights_.at("positions/weight")(p, c);
    }
  }
  x = dropped(x, rule, element(DropSite::embedding, 0));

  std::vector<Matrix> inputs;  // of each layer, and of its MLP's norm
  std::vector<Matrix> middles;
  for (std::int64_t l = 0; l < model_.layers; ++l) {
    inputs.push_back(x);
    const Matrix normed = norm(layer_name(l, "attention norm "), x);
    middles.push_back(
        x + dropped(attention(l, normed, sequence_number, rule), rule, element(DropSite::after_attention, l)));
    const Matrix mlp_out = mlp(l, norm(layer_name(l, "mlp norm "), middles.back()));
    x = middles.back() + dropped(mlp_out, rule, element(DropSite::after_mlp, l));
  }
  const std::string table = model_.tied_embeddings ? "words/weight" : "head/weight";
  const Matrix normed = norm("final norm/", x);
  Matrix dlogits;
  const double loss = reference_cross_entropy(reference_linear(normed, weights_.at(table), nullptr), targets, dlogits);
  for (double& value : dlogits.values) value *= factor;

  Matrix dx = reference_linear_backward(normed, weights_.at(table), dlogits, gradients_.at(table), nullptr);
  dx = norm_backward("final norm/", x, dx);
  for (std::int64_t l = model_.layers; l-- > 0;) {
    const auto at = static_cast<std::size_t>(l);
    const Matrix dmlp = dropped(dx, rule, element(DropSite::after_mlp, l));
    const Matrix mlp_in = norm(layer_name(l, "mlp norm "), middles[at]);
    dx = dx + norm_backward(layer_name(l, "mlp norm "), middles[at], mlp_backward(l, mlp_in, dmlp));
    const Matrix dattention = dropped(dx, rule, element(DropSite::after_attention, l));
    const Matrix attention_in = norm(layer_name(l, "attention norm "), inputs[at]);
    dx = dx + norm_backward(layer_name(l, "attention norm "), inputs[at],
                            attention_backward(l, attention_in, sequence_number, rule, dattention));
  }
  dx = dropped(dx, rule, element(DropSite::embedding, 0));
  for (std::int64_t p = 0; p < dx.rows; ++p) {
    for (std::int64_t c = 0; c < dx.columns; ++c) {
      gradients_.at("words/weight")(ids[static_cast<std::size_t>(p)], c) += dx(p, c);
      if (model_.family == Family::gpt) gradients_.at("positions/weight")(p, c) += dx(p, c);
    }
  }
  return loss * factor;
}

double ReferenceModel::compute_gradients(std::int64_t step, std::int64_t sequences, const DropRule& rule) {
  clear_gradients();
  double loss = 0;
  const double factor = 1 / static_cast<double>(sequences * model_.sequence);
  for (std::int64_t s = 0; s < sequences; ++s) loss += add_sequence(token_ids(model_, step, s), s, rule, factor);
  return loss;
}

void ReferenceModel::update(const AdamOptions& options, std::int64_t step) {
  const double beta1 = double{options.beta1};
  const double beta2 = double{options.beta2};
  const auto t = static_cast<double>(step);
  for (auto& entry : weights_) {
    Matrix& w = entry.second;
    for (std::size_t i = 0; i < w.values.size(); ++i) {
      const double g = gradients_.at(entry.first).values[i];
      double& m = means_.at(entry.first).values[i];
      double& v = squares_.at(entry.first).values[i];
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      const double unbiased = m / (1 - std::pow(beta1, t));
      const double scale = std::sqrt(v / (1 - std::pow(beta2, t))) + double{options.epsilon};
      w.values[i] -= double{options.learning_rate} * (unbiased / scale + double{options.weight_decay} * w.values[i]);
    }
  }
}

}  // namespace foretrain::parallel
