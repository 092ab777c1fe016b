#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/encode_spec.h"

namespace millrace::broker {

// A set of the encoders that a spec can ask for. A value.
class EncoderSet {
 public:
  EncoderSet() = default;

  // Reads what a worker says it has: names of codecs as in a spec ("h264", "opus"). Unknown names
  // are left out.
  static EncoderSet FromNames(const std::vector<std::string>& names);
  // Returns the encoders that a worker must have to make all outputs of the spec.
  static EncoderSet NeededFor(const EncodeSpec& spec);

  bool Covers(EncoderSet needs) const { return (bits_ & needs.bits_) == needs.bits_; }
  auto operator<=>(const EncoderSet&) const = default;

 private:
  uint32_t bits_ = 0;
};

}  // namespace millrace::broker
