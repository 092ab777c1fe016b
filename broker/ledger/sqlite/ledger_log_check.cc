#include "broker/ledger/sqlite/ledger_log_check.h"

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string>

#include "broker/ledger/sqlite/sqlite_statement.h"
#include "core/base/files.h"

namespace millrace::broker {
namespace {

constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr uint32_t kMagic = 0x377f0682;  // the lowest bit gives the byte order for checksums

uint32_t BigEndian(const char* bytes) {
  uint32_t word = 0;
  for (int i = 0; i < 4; ++i) word = word << 8 | static_cast<unsigned char>(bytes[i]);
  return word;
}

uint32_t LittleEndian(const char* bytes) {
  uint32_t word = 0;
  for (int i = 3; i >= 0; --i) word = word << 8 | static_cast<unsigned char>(bytes[i]);
  return word;
}

struct Checksum {
  uint32_t first = 0;
  uint32_t second = 0;

  bool operator==(const Checksum&) const = default;

  // REQUIRES: size is a multiple of 8.
  template <typename Word>
  void Add(const char* bytes, size_t size, Word word) {
    for (size_t i = 0; i < size; i += 8) {
      first += word(bytes + i) + second;
      second += word(bytes + i + 4) + first;
    }
  }
};

// Reads a log from its beginning to its end.
class LogReader {
 public:
  explicit LogReader(const std::filesystem::path& path) : path_(path), in_(path, std::ios::binary) {
    if (!in_) ThrowStorageError(errno, "open", path_);
    std::string header(kHeaderBytes, '\0');
    if (!Fill(header)) return;
    const uint32_t magic = BigEndian(header.data());
    reads_big_endian_ = (magic & 1) != 0;
    page_bytes_ = BigEndian(header.data() + 8);
    salt_ = header.substr(16, 8);
    Checksum sum;
    Add(sum, header.data(), 24);
    current_ = StoredAt(header.data() + 24);
    computed_ = current_;
    const bool plausible = (magic & ~1U) == kMagic && page_bytes_ >= 512 && page_bytes_ <= 65536 &&
                           page_bytes_ % 8 == 0;
    header_is_whole_ = plausible && sum == current_;
    frame_.resize(kFrameHeaderBytes + page_bytes_);
  }

  bool header_is_whole() const { return header_is_whole_; }

  // Moves to the next frame; false at the end of the file.
  bool Next() {
    before_ = current_;
    computed_before_ = computed_;
    if (!Fill(frame_)) return false;
    current_ = StoredAt(frame_.data() + 16);
    computed_ = SumAfter(before_);
    return true;
  }

  // Returns true if the frame was written since the log was last restarted.
  bool is_current() const { return frame_.compare(8, 8, salt_) == 0; }
  bool is_whole() const { return is_current() && computed_ == current_; }
  // Returns true if the checksum follows from the frame before, whichever part of that is damaged.
  bool follows() const { return computed_ == current_ || SumAfter(computed_before_) == current_; }
  bool is_commit() const { return BigEndian(frame_.data() + 4) != 0; }

 private:
  bool Fill(std::string& bytes) {
    in_.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (in_.bad()) ThrowStorageError(errno, "read", path_);
    return in_.gcount() == static_cast<std::streamsize>(bytes.size());
  }

  void Add(Checksum& sum, const char* bytes, size_t size) const {
    if (reads_big_endian_) {
      sum.Add(bytes, size, BigEndian);
    } else {
      sum.Add(bytes, size, LittleEndian);
    }
  }

  Checksum SumAfter(Checksum sum) const {
    Add(sum, frame_.data(), 8);
    Add(sum, frame_.data() + kFrameHeaderBytes, page_bytes_);
    return sum;
  }

  static Checksum StoredAt(const char* bytes) {
    return {.first = BigEndian(bytes), .second = BigEndian(bytes + 4)};
  }

  const std::filesystem::path path_;
  std::ifstream in_;
  bool reads_big_endian_ = false;
  uint32_t page_bytes_ = 0;
  std::string salt_;
  bool header_is_whole_ = false;
  std::string frame_;
  // The stored and the computed checksum, of this frame and of the one before it (or the header).
  Checksum current_;
  Checksum computed_;
  Checksum before_;
  Checksum computed_before_;
};

// Returns true if a broken frame hides durable commits behind it.
bool LosesCommits(LogReader& log) {
  bool broken = false;
  int commits_in_chain = 0;
  while (log.Next()) {
    // The frames behind the last commit date from before the log was last restarted. None of them
    // is current, so they prove nothing.
    broken = broken || !log.is_whole();
    if (!log.follows()) commits_in_chain = 0;
    if (log.is_commit()) ++commits_in_chain;
    if (broken && log.is_current() && commits_in_chain >= 2) return true;
  }
  return false;
}

}  // namespace

void CheckLedgerLog(const std::filesystem::path& ledger) {
  const std::filesystem::path log = ledger.string() + "-wal";
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(log, missing);
  if (missing || bytes < kHeaderBytes + kFrameHeaderBytes) return;
  LogReader reader(log);
  if (reader.header_is_whole() && !LosesCommits(reader)) return;
  throw LedgerCorrupt(
      ledger, "cannot be brought up to date: its write-ahead log " + log.string() +
                  " is damaged, and what was committed behind the damage would be lost. Keep a "
                  "copy of both files. Put a backup of both in their place; or, to go on without "
                  "those commits, open the ledger once with `sqlite3 " +
                  ledger.string() + " 'SELECT count(*) FROM jobs'`");
}

}  // namespace millrace::broker
