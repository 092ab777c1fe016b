#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/http_server/chunked_decoder.h"
#include "api/http_server/output_queue.h"
#include "api/http_server/request_head.h"
#include "api/http_server/responder.h"
#include "api/http_server/response_head.h"
#include "api/http_server/router.h"
#include "api/http_server/worker.h"
#include "core/base/mutex.h"
#include "core/base/unique_fd.h"

namespace millrace::http {

// A request whose body is being read.
struct IncomingBody {
  Request request;  // without a sink: collects the body
  const Route* route = nullptr;
  std::unique_ptr<BodySink> sink;
  bool chunked = false;
  ChunkedDecoder decoder;
  uint64_t left = 0;  // without chunks: bytes that are still to come
  uint64_t received = 0;
  uint64_t limit = 0;
};

// One client connection: reads requests, hands them to the router's code one at a time, and writes
// the answers in the order of the requests. Shared by its worker and by the Responders of its
// requests.
//
// The socket is written only under `mutex_`, and closed only after `closed_` was set under it, so
// an answer that comes late finds `closed_` and not the next client that was given the same number.
//
// A pipelined request waits, in a bounded buffer and behind that in the kernel, until the answer
// before it has left: its order is the order on the wire and a client that does not read costs no
// memory.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using TimePoint = MonotonicTime;

  Connection(std::shared_ptr<ServerContext> context, Worker* worker, int socket, std::string peer);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // ---- Called by the worker, on its thread. After Close nothing here does anything.
  // The socket can be read or written, or has failed.
  void OnReady();
  // This connection was posted.
  void OnPosted();
  void OnTick(TimePoint now);
  // The server ends: a connection without a request closes, the others after their answer.
  void OnDrain();
  // Too many connections: says so and closes.
  void Refuse();
  // Closes at once; unsent bytes are lost and the client sees a reset.
  void Kill();

  // ---- Called by Responder and BodyStream, on any thread. `exchange` says which request is meant;
  // once that one is answered or the client is gone they do nothing and return false.
  bool Respond(uint64_t exchange, Response response, bool is_head);
  bool RespondWithFile(uint64_t exchange, ResponseHead head, UniqueFd file, ByteRange part);
  bool BeginStream(uint64_t exchange, ResponseHead head, bool body_wanted);
  BodyStream::WriteResult WriteStream(uint64_t exchange, std::string_view piece);
  void EndStream(uint64_t exchange);
  // Closes without the stream's proper end.
  void BreakStream(uint64_t exchange);
  void SetDisconnectSignal(uint64_t exchange, const std::shared_ptr<DisconnectSignal>& signal);

  // The hooks' answers; a bare status if the hook throws. `error` may be nullptr.
  Response ErrorResponse(std::exception_ptr error) const;
  Response ProblemAnswer(const Problem& problem) const;

 private:
  // The use that the worker has for the next input byte.
  enum class Input {
    kHead,     // it belongs to a request's head
    kBody,     // it belongs to the body of `body_`
    kWaiting,  // it waits for the answer in flight
    kDiscard,  // the last answer is out: read and drop until the client closes too
    kClosed,
  };
  // The stage of the answer to the current request.
  enum class Exchange { kNone, kOpen, kStreaming, kFlushing, kDone };

  // ---- Reading (connection_input.cc); worker thread only.
  void Progress();
  void ReadInput();
  void Feed(std::string_view fresh);
  // These return how much of the input they used.
  size_t Consume(std::string_view input);
  size_t ConsumeHead(std::string_view input);
  size_t ConsumeBody(std::string_view input);
  void FinishInput();
  void OnHead(RequestHead head);
  void AnswerUnrouted(const Request& request);
  void OpenBody(RequestHead head, Router::Match match);
  void OpenUpload(const UploadOpener& opener);
  void DeliverBody(std::string_view bytes);
  void FinishBody();
  // No more of the body will be read: tells the sink, and closes after the answer.
  void AbandonBody();
  void Dispatch(const Handler& handler, Request request);
  void OnDeadline();

  // ---- The exchange (connection.cc); worker thread only.
  void BeginExchange(const RequestHead& head);
  // Answers the current request with a problem and closes after it.
  void Fail(const Problem& problem);
  void FailHead(const BadHead& bad);
  void FailWithException(std::exception_ptr error);
  void SendContinue();
  // Once the answer is out: on to the next request, or to the end. False while the answer is not
  // out.
  bool SettleExchange();
  bool ExchangeIs(Exchange state);
  void Linger();
  void Close();
  // Finds resets while the socket is not being read.
  void CheckSocketHealth();
  bool OutputStalled(TimePoint now);
  void ArmDeadline(std::chrono::milliseconds timeout);

  // ---- Output.
  bool CanAnswerLocked(uint64_t exchange) const REQUIRES(mutex_);
  ConnectionTerms SettleTermsLocked() REQUIRES(mutex_);
  void FlushLocked() REQUIRES(mutex_);
  void FinishLocked() REQUIRES(mutex_);

  // Constant.
  const std::shared_ptr<ServerContext> context_;
  Worker* const worker_;
  const int socket_;
  const std::string peer_;

  // Worker thread only.
  Input input_ = Input::kHead;
  std::string pending_;  // read but not consumed
  HeadScanner scanner_;
  std::optional<IncomingBody> body_;
  std::optional<TimePoint> deadline_;  // for input; answers in flight have none
  bool end_of_input_ = false;
  bool head_started_ = false;
  bool current_is_head_ = false;  // the current request is a HEAD
  bool last_request_ = false;     // what comes after the current request will not be read
  uint64_t sent_at_tick_ = 0;     // output_.sent_bytes() at the last tick,
  TimePoint sent_changed_;        // and when it was seen to change

  // Any thread. Only the worker writes exchange_number_, so it may read that one without the mutex.
  Mutex mutex_;
  uint64_t exchange_number_ = 0;
  OutputQueue output_ GUARDED_BY(mutex_);
  Exchange exchange_ GUARDED_BY(mutex_) = Exchange::kNone;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool broken_ GUARDED_BY(mutex_) = false;  // writing failed; the worker will close
  bool watching_writes_ GUARDED_BY(mutex_) = false;
  bool keep_alive_ GUARDED_BY(mutex_) = true;  // after the current exchange, as far as is known
  bool http10_ GUARDED_BY(mutex_) = false;
  bool body_incomplete_ GUARDED_BY(mutex_) = false;  // its request is not read to the end
  bool stream_chunked_ GUARDED_BY(mutex_) = false;
  bool stream_body_wanted_ GUARDED_BY(mutex_) = false;
  bool worker_waits_ GUARDED_BY(mutex_) = false;  // to hear when the exchange is done
  std::weak_ptr<DisconnectSignal> disconnect_ GUARDED_BY(mutex_);
};

}  // namespace millrace::http
