#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::http {

// Undoes the chunked transfer coding (RFC 9112, section 7.1) piece by piece: any cut between two
// bytes is a legal cut. Strict (CRLF only, no white space around sizes) and bounded: sizes have at
// most 15 digits, and all that is not data (extensions, which are ignored, and trailers, which are
// dropped) may not exceed a budget. Owned and called by one connection's worker thread.
class ChunkedDecoder {
 public:
  enum class Status { kMore, kDone, kMalformed };
  struct Step {
    Status status = Status::kMore;
    size_t consumed = 0;         // bytes of the input that this step used up
    std::string_view data = {};  // a part of the input that is body; may be empty
  };

  // Returns at the first piece of body, at the end of the input, of the body, or at an error. With
  // kMore and unconsumed input left, call again with the rest. REQUIRES: no kDone or kMalformed
  // yet.
  Step Next(std::string_view input);

 private:
  enum class State {
    kSizeStart,
    kSize,
    kExtension,
    kSizeFeed,
    kData,
    kDataReturn,
    kDataFeed,
    kTrailerStart,
    kTrailer,
    kTrailerFeed,
    kLastFeed,
    kDone,
  };

  static constexpr int kMaxSizeDigits = 15;
  static constexpr size_t kMaxOverheadBytes = 16 << 10;

  // Handles one byte outside of data; false is malformed.
  bool Advance(char c);
  bool AdvanceSize(char c);
  bool AdvanceTrailer(char c);
  bool Expect(char c, char wanted, State next);

  State state_ = State::kSizeStart;
  uint64_t left_ = 0;  // of the current chunk
  int size_digits_ = 0;
  size_t overhead_ = 0;
};

}  // namespace millrace::http
