#include "transcoder/encode/base/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace millrace::encode {
namespace {

constexpr int kReadBufferBytes = 128 << 10;
constexpr int kWriteBufferBytes = 256 << 10;

}  // namespace

FileIo::FileIo(UniqueFd fd, Mode mode) : fd_(std::move(fd)) {
  struct stat facts {};
  if (fstat(fd_.get(), &facts) == 0) size_ = facts.st_size;
  MakeContext(mode);
}

FileIo::FileIo() {
  MakeContext(Mode::kWrite);
  // Passes each write on at once: a buffer would save nothing, as no file is written.
  context_->direct = 1;
}

void FileIo::MakeContext(Mode mode) {
  const int buffer_bytes = mode == Mode::kRead ? kReadBufferBytes : kWriteBufferBytes;
  auto* buffer = static_cast<uint8_t*>(av_malloc(static_cast<size_t>(buffer_bytes)));
  const bool write = mode == Mode::kWrite;
  context_ = avio_alloc_context(buffer, buffer_bytes, write ? 1 : 0, this, write ? nullptr : &Read,
                                write ? &Write : nullptr, &Seek);
  if (context_ == nullptr) {
    av_free(buffer);
    throw Error(ErrorCode::kOutOfMemory, "FFmpeg could not allocate memory");
  }
  // Ignores the flush that a muxer asks for after every packet until the buffer is full.
  context_->min_packet_size = buffer_bytes;
}

FileIo::~FileIo() {
  // Libavformat may have replaced the buffer that was given to it.
  av_freep(static_cast<void*>(&context_->buffer));
  avio_context_free(&context_);
}

int FileIo::Failed(int error) {
  int none = 0;
  error_.compare_exchange_strong(none, error);
  return AVERROR(error);
}

void FileIo::Advance(int64_t bytes) {
  offset_ += bytes;
  if (offset_ > furthest_.load(std::memory_order_relaxed)) {
    furthest_.store(offset_, std::memory_order_relaxed);
  }
}

int FileIo::Read(void* opaque, uint8_t* buffer, int size) {
  auto& self = *static_cast<FileIo*>(opaque);
  ssize_t got = 0;
  if (self.reads_zeros_) {
    got = std::clamp<int64_t>(self.size_ - self.offset_, 0, size);
    std::memset(buffer, 0, static_cast<size_t>(got));
  } else {
    do {
      got = pread(self.fd_.get(), buffer, static_cast<size_t>(size), self.offset_);
    } while (got < 0 && errno == EINTR);
  }
  if (got < 0) return self.Failed(errno);
  if (got == 0) return AVERROR_EOF;
  self.Advance(got);
  return static_cast<int>(got);
}

// Returns true if all bytes were written; otherwise errno has the reason.
bool FileIo::Put(const uint8_t* buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t put =
        pwrite(fd_.get(), buffer + done, size - done, offset_ + static_cast<int64_t>(done));
    if (put < 0 && errno != EINTR) return false;
    done += static_cast<size_t>(std::max<ssize_t>(put, 0));
  }
  return true;
}

void FileIo::Keep(const uint8_t* buffer, size_t size) {
  const auto at = static_cast<size_t>(offset_);
  if (!head_ended_ && at + size > head_.size()) head_.resize(at + size);
  if (at < head_.size()) std::memcpy(&head_[at], buffer, std::min(size, head_.size() - at));
}

int FileIo::Write(void* opaque, WrittenByte* buffer, int size) {
  auto& self = *static_cast<FileIo*>(opaque);
  const auto bytes = static_cast<size_t>(size);
  if (self.offset_ < self.position()) {
    self.rewritten_to_ = std::max(self.rewritten_to_, self.offset_ + size);
  }
  if (!self.fd_) {
    self.Keep(buffer, bytes);
  } else if (!self.Put(buffer, bytes)) {
    return self.Failed(errno);
  }
  self.Advance(size);
  return size;
}

int64_t FileIo::Seek(void* opaque, int64_t offset, int whence) {
  auto& self = *static_cast<FileIo*>(opaque);
  whence &= ~AVSEEK_FORCE;
  const int64_t end = std::max(self.size_, self.position());
  switch (whence) {
    case AVSEEK_SIZE:
      return end;
    case SEEK_CUR:
      offset += self.offset_;
      break;
    case SEEK_END:
      offset += end;
      break;
    default:
      break;
  }
  if (offset < 0) return AVERROR(EINVAL);
  self.offset_ = offset;
  return offset;
}

UniqueFd OpenForReading(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts {};
  if (!fd || fstat(fd.get(), &facts) != 0) {
    const int error = errno;
    throw Error(ErrorCode::kInputUnreadable,
                std::string("the input cannot be opened: ") + std::strerror(error),
                {{"stage", "open"}, {"errno", error}});
  }
  if (!S_ISREG(facts.st_mode)) {
    throw Error(ErrorCode::kInputUnreadable, "the input is not a regular file",
                {{"stage", "open"}});
  }
  return fd;
}

UniqueFd CreateForWriting(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) ThrowStorageError("create an output file", errno);
  return fd;
}

void WriteWholeFile(const std::string& path, const uint8_t* bytes, size_t size) {
  const UniqueFd fd = CreateForWriting(path);
  while (size > 0) {
    const ssize_t put = write(fd.get(), bytes, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) ThrowStorageError("write an output file", errno);
    bytes += put;
    size -= static_cast<size_t>(put);
  }
  if (fsync(fd.get()) != 0) ThrowStorageError("fsync an output file", errno);
}

void ThrowStorageError(const std::string& what, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(full ? ErrorCode::kWorkerDiskFull : ErrorCode::kStorageError,
              what + ": " + std::strerror(error), {{"stage", "mux"}, {"errno", error}});
}

}  // namespace millrace::encode
