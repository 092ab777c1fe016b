#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "transcoder/ffmpeg.h"
#include "transcoder/unique_fd.h"

namespace millrace::encode {

// An AVIOContext over an open descriptor: FFmpeg sees neither a path nor a protocol, so nothing in
// a file can make it open another. Remembers the operating system's own error, which libavformat
// tends to lose. One thread reads or writes; position() and error() may be called by any.
class FileIo {
 public:
  enum class Mode { kRead, kWrite };

  FileIo(UniqueFd fd, Mode mode);
  FileIo(const FileIo&) = delete;
  FileIo& operator=(const FileIo&) = delete;
  ~FileIo();

  AVIOContext* context() { return context_; }
  int fd() const { return fd_.get(); }
  // In bytes, when it was opened.
  int64_t size() const { return size_; }
  // The furthest byte that was read or written.
  int64_t position() const { return furthest_.load(std::memory_order_relaxed); }
  // errno of the first call that failed; 0 if none did.
  int error() const { return error_.load(std::memory_order_relaxed); }

 private:
  static int Read(void* opaque, uint8_t* buffer, int size);
  static int Write(void* opaque, uint8_t* buffer, int size);
  static int64_t Seek(void* opaque, int64_t offset, int whence);
  int Failed(int error);
  void Advance(int64_t bytes);

  UniqueFd fd_;
  int64_t size_ = 0;
  int64_t offset_ = 0;
  std::atomic<int64_t> furthest_{0};
  std::atomic<int> error_{0};
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
