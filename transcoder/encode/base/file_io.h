#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"
#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// An AVIOContext over an open descriptor. FFmpeg sees neither a path nor a protocol, so nothing in
// a file can make it open another. Remembers the operating system's own error, which libavformat
// often loses. One thread reads or writes; any thread may call position() and error().
class FileIo {
 public:
  enum class Mode { kRead, kWrite };

  FileIo(UniqueFd fd, Mode mode);
  // Without a file: keeps what is written in memory up to the end of the head, and drops the rest.
  FileIo();
  FileIo(const FileIo&) = delete;
  FileIo& operator=(const FileIo&) = delete;
  ~FileIo();

  AVIOContext* context() { return context_; }
  int fd() const { return fd_.get(); }
  // The size in bytes when the file was opened.
  int64_t size() const { return size_; }
  // The furthest byte that was read or written.
  int64_t position() const { return furthest_.load(std::memory_order_relaxed); }
  // errno of the first call that failed; 0 if none did.
  int error() const { return error_.load(std::memory_order_relaxed); }
  // The end of the furthest write in front of bytes that existed already; 0: none. For the writing
  // thread only.
  int64_t rewritten_to() const { return rewritten_to_; }

  // Makes all later reads return zeros in the place of the file's bytes. For the reading thread
  // only.
  void StopReading() { reads_zeros_ = true; }
  // Ends the head at position(); its bytes may still be rewritten. Only without a file.
  void EndHead() { head_ended_ = true; }
  const std::vector<uint8_t>& head() const { return head_; }

 private:
  static int Read(void* opaque, uint8_t* buffer, int size);
  static int Write(void* opaque, WrittenByte* buffer, int size);
  static int64_t Seek(void* opaque, int64_t offset, int whence);
  void MakeContext(Mode mode);
  bool Put(const uint8_t* buffer, size_t size);
  void Keep(const uint8_t* buffer, size_t size);
  int Failed(int error);
  void Advance(int64_t bytes);

  UniqueFd fd_;
  int64_t size_ = 0;
  int64_t offset_ = 0;
  std::atomic<int64_t> furthest_{0};
  std::atomic<int> error_{0};
  int64_t rewritten_to_ = 0;
  bool reads_zeros_ = false;
  bool head_ended_ = false;
  std::vector<uint8_t> head_;
  AVIOContext* context_ = nullptr;
};

// Throws Error{kInputUnreadable} if `path` is not a regular file that can be read.
UniqueFd OpenForReading(const std::string& path);
// Throws Error{kStorageError} (kWorkerDiskFull if it is that).
UniqueFd CreateForWriting(const std::string& path);
// Writes all, fsyncs and closes. Throws like CreateForWriting.
void WriteWholeFile(const std::string& path, const uint8_t* bytes, size_t size);
// Throws Error{kStorageError}, kWorkerDiskFull for ENOSPC and EDQUOT.
[[noreturn]] void ThrowStorageError(const std::string& what, int error);

}  // namespace millrace::encode
