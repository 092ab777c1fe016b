#include "api/http_server/connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

namespace millrace::http {
namespace {

Framing FramingOf(int status) {
  return status == 204 || status == 304 ? Framing::kNone : Framing::kLength;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerContext> context, Worker* worker, int socket,
                       std::string peer)
    : context_(std::move(context)),
      worker_(worker),
      socket_(socket),
      peer_(std::move(peer)),
      sent_changed_(context_->clock->Now()) {
  ArmDeadline(context_->limits.header_timeout);
}

// ---- The exchange.

void Connection::BeginExchange(const RequestHead& head) {
  current_is_head_ = head.request.is_head();
  last_request_ = !head.keep_alive;
  deadline_.reset();
  MutexLock lock(mutex_);
  ++exchange_number_;
  exchange_ = Exchange::kOpen;
  keep_alive_ = head.keep_alive;
  http10_ = head.request.http10;
  body_incomplete_ = head.request.chunked || head.request.content_length.value_or(0) > 0;
  worker_waits_ = false;
  disconnect_.reset();
}

void Connection::Fail(const Problem& problem) {
  {
    MutexLock lock(mutex_);
    keep_alive_ = false;
  }
  last_request_ = true;
  Respond(exchange_number_, ProblemAnswer(problem), current_is_head_);
  AbandonBody();
}

void Connection::FailHead(const BadHead& bad) {
  RequestHead nothing;
  nothing.request.method = bad.is_head ? "HEAD" : "";
  BeginExchange(nothing);
  Fail(bad.problem);
}

void Connection::FailWithException(std::exception_ptr error) {
  Respond(exchange_number_, ErrorResponse(std::move(error)), current_is_head_);
}

Response Connection::ProblemAnswer(const Problem& problem) const {
  try {
    Response response = context_->hooks.on_problem(problem);
    response.status = problem.status;
    return response;
  } catch (...) {
    return {.status = problem.status};
  }
}

Response Connection::ErrorResponse(std::exception_ptr error) const {
  try {
    return context_->hooks.on_handler_error(std::move(error));
  } catch (...) {
    return {.status = 500};
  }
}

void Connection::SendContinue() {
  MutexLock lock(mutex_);
  if (!CanAnswerLocked(exchange_number_)) return;
  output_.PushBytes("HTTP/1.1 100 Continue\r\n\r\n");
  FlushLocked();
}

bool Connection::ExchangeIs(Exchange state) {
  MutexLock lock(mutex_);
  return exchange_ == state;
}

bool Connection::SettleExchange() {
  bool last = false;
  {
    MutexLock lock(mutex_);
    worker_waits_ = exchange_ != Exchange::kDone;
    if (worker_waits_) return false;
    exchange_ = Exchange::kNone;
    last = !keep_alive_;
  }
  AbandonBody();  // of an upload that was answered early, from another thread
  if (last) {
    Linger();
  } else {
    input_ = Input::kHead;
    ArmDeadline(context_->limits.keep_alive_timeout);
  }
  return true;
}

void Connection::Linger() {
  if (end_of_input_) return Close();
  input_ = Input::kDiscard;
  pending_.clear();
  ArmDeadline(context_->limits.linger_timeout);
}

void Connection::Close() {
  if (input_ == Input::kClosed) return;
  AbandonBody();
  input_ = Input::kClosed;
  std::shared_ptr<DisconnectSignal> signal;
  bool cut = false;
  {
    MutexLock lock(mutex_);
    cut = exchange_ == Exchange::kOpen || exchange_ == Exchange::kStreaming ||
          exchange_ == Exchange::kFlushing;
    closed_ = true;
    output_.Clear();
    signal = disconnect_.lock();
  }
  if (cut) {
    // A reset, so that what arrived of a cut answer cannot be taken for the whole, and so that the
    // kernel does not keep the unsent bytes of a client that reads nothing.
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  worker_->Remove(socket_);
  if (cut && signal) signal->Fire();
}

void Connection::Kill() { Close(); }

void Connection::Refuse() {
  static constexpr std::string_view kBusy =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
      "Connection: close\r\n\r\n";
  [[maybe_unused]] const ssize_t sent =
      ::send(socket_, kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(socket_, SHUT_WR);
  Linger();
}

void Connection::CheckSocketHealth() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) Close();
}

bool Connection::OutputStalled(TimePoint now) {
  MutexLock lock(mutex_);
  if (output_.empty() || output_.sent_bytes() != sent_at_tick_) {
    sent_at_tick_ = output_.sent_bytes();
    sent_changed_ = now;
  }
  return now - sent_changed_ > context_->limits.write_stall_timeout;
}

void Connection::ArmDeadline(std::chrono::milliseconds timeout) {
  deadline_ = context_->clock->Now() + timeout;
}

// ---- Answers, from any thread.

bool Connection::Respond(uint64_t exchange, Response response, bool is_head) {
  if (!FieldsAreLegal(response.headers)) {
    response = ErrorResponse(nullptr);
    if (!FieldsAreLegal(response.headers)) response.headers = {};
  }
  ResponseHead head{.status = response.status,
                    .headers = std::move(response.headers),
                    .framing = FramingOf(response.status),
                    .content_length = response.body.size()};
  MutexLock lock(mutex_);
  if (!CanAnswerLocked(exchange)) return false;
  std::string bytes = Serialized(head, SettleTermsLocked());
  if (!is_head && head.framing == Framing::kLength) bytes += response.body;
  output_.PushBytes(std::move(bytes));
  exchange_ = Exchange::kFlushing;
  FlushLocked();
  return !broken_;
}

bool Connection::RespondWithFile(uint64_t exchange, ResponseHead head, UniqueFd file,
                                 ByteRange part) {
  MutexLock lock(mutex_);
  if (!CanAnswerLocked(exchange)) return false;
  output_.PushBytes(Serialized(head, SettleTermsLocked()));
  output_.PushFile(std::move(file), part);
  exchange_ = Exchange::kFlushing;
  FlushLocked();
  return !broken_;
}

bool Connection::BeginStream(uint64_t exchange, ResponseHead head, bool body_wanted) {
  MutexLock lock(mutex_);
  if (!CanAnswerLocked(exchange)) return false;
  head.framing = http10_ ? Framing::kClose : Framing::kChunked;
  if (http10_) keep_alive_ = false;
  stream_chunked_ = !http10_;
  stream_body_wanted_ = body_wanted;
  output_.PushBytes(Serialized(head, SettleTermsLocked()));
  exchange_ = Exchange::kStreaming;
  FlushLocked();
  return !broken_;
}

BodyStream::WriteResult Connection::WriteStream(uint64_t exchange, std::string_view piece) {
  MutexLock lock(mutex_);
  if (closed_ || broken_ || exchange != exchange_number_ || exchange_ != Exchange::kStreaming) {
    return BodyStream::WriteResult::kClosed;
  }
  if (piece.empty() || !stream_body_wanted_) return BodyStream::WriteResult::kQueued;
  if (output_.queued_bytes() + piece.size() > context_->limits.stream_queue_bytes) {
    return BodyStream::WriteResult::kFull;
  }
  output_.PushBytes(stream_chunked_ ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece)
                                    : std::string(piece));
  FlushLocked();
  return broken_ ? BodyStream::WriteResult::kClosed : BodyStream::WriteResult::kQueued;
}

void Connection::EndStream(uint64_t exchange) {
  MutexLock lock(mutex_);
  if (closed_ || exchange != exchange_number_ || exchange_ != Exchange::kStreaming) return;
  if (stream_chunked_ && stream_body_wanted_) output_.PushBytes("0\r\n\r\n");
  exchange_ = Exchange::kFlushing;
  FlushLocked();
}

void Connection::BreakStream(uint64_t exchange) {
  MutexLock lock(mutex_);
  if (closed_ || exchange != exchange_number_ || exchange_ != Exchange::kStreaming) return;
  broken_ = true;
  worker_->Post(shared_from_this());
}

void Connection::SetDisconnectSignal(uint64_t exchange,
                                     const std::shared_ptr<DisconnectSignal>& signal) {
  MutexLock lock(mutex_);
  if (CanAnswerLocked(exchange)) disconnect_ = signal;
}

bool Connection::CanAnswerLocked(uint64_t exchange) const {
  return !closed_ && exchange == exchange_number_ && exchange_ == Exchange::kOpen;
}

ConnectionTerms Connection::SettleTermsLocked() {
  keep_alive_ = keep_alive_ && !body_incomplete_ && !context_->draining;
  return {.keep_alive = keep_alive_, .http10 = http10_};
}

void Connection::FlushLocked() {
  if (broken_) return;
  switch (output_.FlushTo(socket_)) {
    case OutputQueue::Flushed::kEmpty:
      if (exchange_ == Exchange::kFlushing) FinishLocked();
      break;
    case OutputQueue::Flushed::kBlocked:
      if (!watching_writes_) worker_->WatchWrites(socket_);
      watching_writes_ = true;
      break;
    case OutputQueue::Flushed::kYielded:
      worker_->Post(shared_from_this());
      break;
    case OutputQueue::Flushed::kFailed:
      broken_ = true;
      output_.Clear();
      worker_->Post(shared_from_this());
      break;
  }
}

void Connection::FinishLocked() {
  exchange_ = Exchange::kDone;
  if (!keep_alive_) ::shutdown(socket_, SHUT_WR);
  // A worker that does not wait learns of it with the client's next request, or with a tick: the
  // common keep-alive client costs no wake-up here.
  if (!keep_alive_ || worker_waits_ || context_->draining) worker_->Post(shared_from_this());
}

}  // namespace millrace::http
