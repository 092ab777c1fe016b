#include "api/http_server/chunked_decoder.h"

#include <algorithm>

namespace millrace::http {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7F;
}

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::Next(std::string_view input) {
  size_t used = 0;
  while (used < input.size()) {
    if (state_ == State::kData) {
      const auto piece = input.substr(used, std::min<uint64_t>(left_, input.size() - used));
      left_ -= piece.size();
      if (left_ == 0) state_ = State::kDataReturn;
      return {.status = Status::kMore, .consumed = used + piece.size(), .data = piece};
    }
    if (!Advance(input[used++])) return {.status = Status::kMalformed, .consumed = used};
    if (state_ == State::kDone) return {.status = Status::kDone, .consumed = used};
  }
  return {.status = Status::kMore, .consumed = used};
}

bool ChunkedDecoder::Advance(char c) {
  switch (state_) {
    case State::kSizeStart:
    case State::kSize:
    case State::kExtension:
      return AdvanceSize(c);
    case State::kSizeFeed:
      return Expect(c, '\n', left_ > 0 ? State::kData : State::kTrailerStart);
    case State::kDataReturn:
      return Expect(c, '\r', State::kDataFeed);
    case State::kDataFeed:
      return Expect(c, '\n', State::kSizeStart);
    case State::kTrailerStart:
    case State::kTrailer:
      return AdvanceTrailer(c);
    case State::kTrailerFeed:
      return Expect(c, '\n', State::kTrailerStart);
    case State::kLastFeed:
      return Expect(c, '\n', State::kDone);
    case State::kData:
    case State::kDone:
      return false;
  }
  return false;
}

bool ChunkedDecoder::AdvanceSize(char c) {
  if (state_ == State::kExtension) {
    if (c == '\r') return Expect(c, '\r', State::kSizeFeed);
    return !IsControl(c) && ++overhead_ <= kMaxOverheadBytes;
  }
  const int digit = HexValue(c);
  if (digit >= 0) {
    if (state_ == State::kSizeStart) {
      left_ = 0;
      size_digits_ = 0;
      state_ = State::kSize;
    }
    left_ = left_ * 16 + static_cast<uint64_t>(digit);
    return ++size_digits_ <= kMaxSizeDigits;
  }
  if (state_ == State::kSizeStart) return false;
  if (c == ';') {
    state_ = State::kExtension;
    return ++overhead_ <= kMaxOverheadBytes;
  }
  return Expect(c, '\r', State::kSizeFeed);
}

bool ChunkedDecoder::AdvanceTrailer(char c) {
  if (c == '\r') {
    state_ = state_ == State::kTrailerStart ? State::kLastFeed : State::kTrailerFeed;
    return true;
  }
  state_ = State::kTrailer;
  return !IsControl(c) && ++overhead_ <= kMaxOverheadBytes;
}

bool ChunkedDecoder::Expect(char c, char wanted, State next) {
  state_ = next;
  return c == wanted;
}

}  // namespace millrace::http
