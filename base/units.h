/// Physical quantities whose dimension the compiler checks: a wrong formula does not compile.
#pragma once

#include <compare>
#include <cstdint>

namespace foretrain {

/// A number of base units: bytes^B * flops^F * seconds^T. Stored as a double in SI base units.
/// Whole byte counts are exact up to 2^53 (8 PiB). What has no dimension (a ratio) is a plain double.
template <int B, int F, int T>
class Quantity {
  static_assert(B != 0 || F != 0 || T != 0, "a dimensionless quantity is a double");

 public:
  constexpr Quantity() = default;

  /// The bare number in base units (bytes, flops, seconds); for output and for inner loops only.
  [[nodiscard]] constexpr double base() const { return value_; }
  static constexpr Quantity from_base(double value) {
    Quantity q;
    q.value_ = value;
    return q;
  }

  constexpr Quantity& operator+=(Quantity other) {
    value_ += other.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value_ -= other.value_;
    return *this;
  }
  constexpr Quantity& operator*=(double factor) {
    value_ *= factor;
    return *this;
  }
  constexpr Quantity& operator/=(double divisor) {
    value_ /= divisor;
    return *this;
  }
  constexpr Quantity operator-() const { return from_base(-value_); }

  friend constexpr Quantity operator+(Quantity a, Quantity b) { return from_base(a.value_ + b.value_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return from_base(a.value_ - b.value_); }
  friend constexpr Quantity operator*(double f, Quantity q) { return from_base(f * q.value_); }
  friend constexpr Quantity operator*(Quantity q, double f) { return from_base(f * q.value_); }
  friend constexpr Quantity operator/(Quantity q, double d) { return from_base(q.value_ / d); }
  friend constexpr auto operator<=>(Quantity, Quantity) = default;

 private:
  double value_ = 0;
};

/// `value` as a quantity of these dimensions; a plain double when they cancel: bytes / bytes, seconds * hertz.
template <int B, int F, int T>
constexpr auto quantity_or_ratio(double value) {
  if constexpr (B == 0 && F == 0 && T == 0) {
    return value;
  } else {
    return Quantity<B, F, T>::from_base(value);
  }
}

template <int B, int F, int T, int B2, int F2, int T2>
constexpr auto operator*(Quantity<B, F, T> a, Quantity<B2, F2, T2> b) {
  return quantity_or_ratio<B + B2, F + F2, T + T2>(a.base() * b.base());
}
template <int B, int F, int T, int B2, int F2, int T2>
constexpr auto operator/(Quantity<B, F, T> a, Quantity<B2, F2, T2> b) {
  return quantity_or_ratio<B - B2, F - F2, T - T2>(a.base() / b.base());
}
template <int B, int F, int T>
constexpr Quantity<-B, -F, -T> operator/(double a, Quantity<B, F, T> b) {
  return Quantity<-B, -F, -T>::from_base(a / b.base());
}

using Bytes = Quantity<1, 0, 0>;
using Flops = Quantity<0, 1, 0>;  ///< floating-point operations: an amount of work, not a rate
using Seconds = Quantity<0, 0, 1>;
using BytesPerSecond = Quantity<1, 0, -1>;
using FlopsPerSecond = Quantity<0, 1, -1>;
using Hertz = Quantity<0, 0, -1>;

inline constexpr Bytes bytes = Bytes::from_base(1);
inline constexpr Bytes KiB = Bytes::from_base(1024.0);
inline constexpr Bytes MiB = Bytes::from_base(1024.0 * 1024);
inline constexpr Bytes GiB = Bytes::from_base(1024.0 * 1024 * 1024);
inline constexpr Bytes KB = Bytes::from_base(1e3);
inline constexpr Bytes MB = Bytes::from_base(1e6);
inline constexpr Bytes GB = Bytes::from_base(1e9);
inline constexpr Flops flops = Flops::from_base(1);
inline constexpr Flops GFLOP = Flops::from_base(1e9);
inline constexpr Flops TFLOP = Flops::from_base(1e12);
inline constexpr Seconds seconds = Seconds::from_base(1);
inline constexpr Seconds milliseconds = Seconds::from_base(1e-3);
inline constexpr Seconds microseconds = Seconds::from_base(1e-6);
inline constexpr Seconds nanoseconds = Seconds::from_base(1e-9);
inline constexpr BytesPerSecond GB_per_s = BytesPerSecond::from_base(1e9);
inline constexpr BytesPerSecond Gbit_per_s = BytesPerSecond::from_base(1e9 / 8);
inline constexpr FlopsPerSecond TFLOP_per_s = FlopsPerSecond::from_base(1e12);
inline constexpr Hertz MHz = Hertz::from_base(1e6);

template <int B, int F, int T>
constexpr Quantity<B, F, T> max(Quantity<B, F, T> a, Quantity<B, F, T> b) {
  return a < b ? b : a;
}
template <int B, int F, int T>
constexpr Quantity<B, F, T> min(Quantity<B, F, T> a, Quantity<B, F, T> b) {
  return b < a ? b : a;
}

/// ceil(a / b) for whole numbers; b > 0, a >= 0.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }
/// The smallest multiple of `step` that is >= a; step > 0, a >= 0.
constexpr std::int64_t round_up(std::int64_t a, std::int64_t step) { return ceil_div(a, step) * step; }

}  // namespace foretrain
