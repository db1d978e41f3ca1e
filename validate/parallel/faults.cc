#include "validate/parallel/faults.h"

#include <array>
#include <utility>

namespace foretrain::parallel {
namespace {

class FaultyCommunicator final : public Communicator {
 public:
  FaultyCommunicator(std::unique_ptr<Communicator> inner, Math& math, const Fault& fault)
      : Communicator(inner->name(), inner->ranks(), inner->rank()),
        inner_(std::move(inner)),
        math_(math),
        fault_(fault) {}

 private:
  bool breaks(FaultKind kind, std::string_view what) const {
    if (fault_.kind != kind) return false;
    const std::string_view wanted = fault_.what;
    return wanted.ends_with('*') ? what.starts_with(wanted.substr(0, wanted.size() - 1)) : what == wanted;
  }
  Reduction reduction_of(Reduction reduction, std::string_view what) const {
    return breaks(FaultKind::sum_for_mean, what) && reduction == Reduction::mean ? Reduction::sum : reduction;
  }

  static Tensor matrix(std::span<const float> data, std::int64_t rows) {
    const std::shared_ptr<float> memory(const_cast<float*>(data.data()), [](float*) {});
    return {memory, rows, static_cast<std::int64_t>(data.size()) / rows};
  }
  void copy(std::span<const float> from, std::span<const float> to) const {
    if (from.data() != to.data()) math_.copy(matrix(from, 1), matrix(to, 1));
  }
  template <class Span>
  Span piece(Span whole, int number) const {
    const std::size_t length = whole.size() / static_cast<std::size_t>(size());
    return whole.subspan(static_cast<std::size_t>(number) * length, length);
  }
  int next() const { return (rank() + 1) % size(); }
  /// The pieces of `whole`, each one place further.
  Tensor rotated(std::span<const float> whole) const {
    Tensor result = math_.zeros(1, static_cast<std::int64_t>(whole.size()));
    for (int r = 0; r < size(); ++r) copy(piece(whole, (r + 1) % size()), piece(result.span(), r));
    return result;
  }

  void do_all_reduce(std::span<float> data, Reduction reduction, std::string_view what) override {
    if (breaks(FaultKind::skip, what)) return;
    inner_->all_reduce(data, reduction_of(reduction, what), what);
    if (breaks(FaultKind::repeat, what)) inner_->all_reduce(data, reduction_of(reduction, what), what);
  }

  void do_all_gather(std::span<const float> part, std::span<float> whole, std::string_view what) override {
    if (size() > 1 && breaks(FaultKind::skip, what)) return copy(part, piece(whole, rank()));
    inner_->all_gather(part, whole, what);
    if (breaks(FaultKind::shift, what)) copy(rotated(whole).span(), whole);
  }

  void do_reduce_scatter(std::span<const float> whole, std::span<float> part, Reduction reduction,
                         std::string_view what) override {
    if (size() > 1 && breaks(FaultKind::skip, what)) return copy(piece(whole, rank()), part);
    if (breaks(FaultKind::shift, what)) {
      inner_->reduce_scatter(rotated(whole).span(), part, reduction, what);
    } else {
      inner_->reduce_scatter(whole, part, reduction_of(reduction, what), what);
    }
    if (size() > 1 && breaks(FaultKind::repeat, what)) {
      const Tensor once = math_.zeros(1, static_cast<std::int64_t>(part.size()));
      copy(part, once.span());
      math_.add(once, 1, matrix(part, 1));
    }
  }

  void do_all_to_all(std::span<const float> from, std::span<float> to, std::string_view what) override {
    if (size() > 1 && breaks(FaultKind::skip, what)) return copy(piece(from, rank()), piece(to, rank()));
    inner_->all_to_all(from, to, what);
    if (breaks(FaultKind::shift, what)) copy(rotated(to).span(), to);
  }

  void do_broadcast(std::span<float> data, int root, std::string_view what) override {
    if (!breaks(FaultKind::skip, what)) inner_->broadcast(data, root, what);
  }

  void do_exchange(std::span<const Transfer> transfers) override {
    std::vector<Transfer> kept;
    for (const Transfer& transfer : transfers) {
      if (!breaks(FaultKind::skip, transfer.what)) kept.push_back(transfer);
    }
    inner_->exchange(kept);
  }

  std::unique_ptr<Communicator> inner_;
  Math& math_;
  const Fault& fault_;
};

class ForgetfulStreams final : public RandomStreams {
 public:
  explicit ForgetfulStreams(const Seeds& seeds) : RandomStreams(seeds) {}
  void rewind(std::uint64_t /*state*/) override {}
};

}  // namespace

std::string text_of(const Fault& fault) {
  constexpr std::array<std::string_view, 10> kTexts = {"skip",
                                                       "repeat",
                                                       "sum instead of mean of",
                                                       "shift the pieces of",
                                                       "weights cut at the next tensor rank's offset",
                                                       "sequences of the first data rank on all",
                                                       "positions of the next context rank",
                                                       "one seed where tensor ranks need their own",
                                                       "own seeds where tensor ranks need the same",
                                                       "random state not restored"};
  const std::string text(kTexts[static_cast<std::size_t>(fault.kind)]);
  return fault.what.empty() ? text : text + " " + fault.what;
}

FaultyWorld::FaultyWorld(World& inner, Math& math, Fault fault)
    : inner_(inner), math_(math), fault_(std::move(fault)) {}

std::unique_ptr<Communicator> FaultyWorld::group(const std::vector<int>& ranks, const std::string& name) {
  return std::make_unique<FaultyCommunicator>(inner_.group(ranks, name), math_, fault_);
}

PlaceRules rules_with(const Fault& fault, const ParallelPlan& plan) {
  PlaceRules rules;
  if (fault.kind == FaultKind::weights_of_next) {
    rules.weights = [plan](Coordinates place) {
      place.tensor = (place.tensor + 1) % plan.tensor;
      return place;
    };
  } else if (fault.kind == FaultKind::tokens_of_first_data) {
    rules.tokens = [](Coordinates place) {
      place.data = 0;
      return place;
    };
  } else if (fault.kind == FaultKind::tokens_of_next_context) {
    rules.tokens = [plan](Coordinates place) {
      place.context = (place.context + 1) % plan.context;
      return place;
    };
  } else if (fault.kind == FaultKind::shared_seed) {
    rules.streams = [](std::uint64_t seed, const Coordinates& place) {
      return std::make_unique<RandomStreams>(seeds_of(seed, 0, place.context));
    };
  } else if (fault.kind == FaultKind::distinct_seed) {
    rules.streams = [](std::uint64_t seed, const Coordinates& place) {
      Seeds seeds = seeds_of(seed, place.tensor, place.context);
      seeds.replicated += static_cast<std::uint64_t>(place.tensor);
      return std::make_unique<RandomStreams>(seeds);
    };
  } else if (fault.kind == FaultKind::forgotten_random_state) {
    rules.streams = [](std::uint64_t seed, const Coordinates& place) -> std::unique_ptr<RandomStreams> {
      return std::make_unique<ForgetfulStreams>(seeds_of(seed, place.tensor, place.context));
    };
  }
  return rules;
}

}  // namespace foretrain::parallel
