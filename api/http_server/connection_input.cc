// The reading half of Connection: from bytes to requests.

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "api/http_server/connection.h"

namespace millrace::http {
namespace {

// One client on a fast link may be read this often before others have their turn.
constexpr int kReadsPerTurn = 16;

Problem Timeout(std::string detail) {
  return {.status = 408, .code = "request_timeout", .detail = std::move(detail), .retryable = true};
}

Problem TooLarge() {
  return {.status = 413,
          .code = "payload_too_large",
          .detail = "The request's body is larger than this resource takes."};
}

Problem HeadTooLarge(bool has_request_line) {
  if (has_request_line) {
    return {.status = 431,
            .code = "headers_too_large",
            .detail = "The request's head is larger than the server takes."};
  }
  return {.status = 414, .code = "uri_too_long", .detail = "The request's target is too long."};
}

}  // namespace

void Connection::OnReady() {
  Progress();
  if (input_ == Input::kWaiting) CheckSocketHealth();
}

void Connection::OnPosted() { Progress(); }

void Connection::OnTick(TimePoint now) {
  if (input_ == Input::kClosed) return;
  if (OutputStalled(now)) return Close();
  if (input_ == Input::kWaiting && ExchangeIs(Exchange::kDone)) Progress();
  if (deadline_ && now > *deadline_) OnDeadline();
}

void Connection::OnDeadline() {
  deadline_.reset();
  switch (input_) {
    case Input::kHead:
      if (!head_started_) return Close();
      return FailHead({.problem = Timeout("The request's head did not arrive in time.")});
    case Input::kBody:
      return Fail(Timeout("The request's body stopped arriving."));
    case Input::kDiscard:
      return Close();
    case Input::kWaiting:
    case Input::kClosed:
      return;
  }
}

void Connection::OnDrain() {
  Progress();  // a request that is already here is still served
  if (input_ == Input::kWaiting) SettleExchange();
}

void Connection::Progress() {
  if (input_ == Input::kClosed) return;
  bool broken = false;
  bool done = false;
  {
    MutexLock lock(mutex_);
    if (!output_.empty()) FlushLocked();
    broken = broken_;
    done = exchange_ == Exchange::kDone;
  }
  if (broken) return Close();
  if (done) SettleExchange();
  Feed({});
  if (!end_of_input_) ReadInput();
  if (end_of_input_) FinishInput();
  if (context_->draining && input_ == Input::kHead && pending_.empty()) Close();
}

void Connection::ReadInput() {
  const auto buffer = worker_->ReadBuffer();
  for (int reads = 0; input_ != Input::kClosed; ++reads) {
    // The next read comes when the answer is out: Consume has said that the worker waits for it.
    if (input_ == Input::kWaiting && pending_.size() >= context_->limits.pipeline_bytes) return;
    if (reads == kReadsPerTurn) return worker_->Post(shared_from_this());
    const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      Feed({buffer.data(), static_cast<size_t>(got)});
    } else if (got == 0) {
      end_of_input_ = true;
      return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      return Close();
    }
  }
}

void Connection::Feed(std::string_view fresh) {
  if (pending_.empty()) {
    const size_t used = Consume(fresh);
    pending_.assign(fresh.substr(used));
    return;
  }
  pending_.append(fresh);
  // Consume may end the connection, which clears pending_: it works on bytes of its own.
  std::string input = std::move(pending_);
  pending_.clear();
  const size_t used = Consume(input);
  input.erase(0, used);
  pending_ = std::move(input);
}

size_t Connection::Consume(std::string_view input) {
  size_t used = 0;
  while (used < input.size()) {
    const auto rest = input.substr(used);
    switch (input_) {
      case Input::kHead: {
        const size_t head = ConsumeHead(rest);
        if (head == 0) return used;
        used += head;
        break;
      }
      case Input::kBody:
        used += ConsumeBody(rest);
        break;
      case Input::kWaiting:
        if (!SettleExchange()) return last_request_ ? input.size() : used;
        break;
      case Input::kDiscard:
      case Input::kClosed:
        return input.size();
    }
  }
  return used;
}

size_t Connection::ConsumeHead(std::string_view input) {
  if (!head_started_) {
    // RFC 9112, section 2.2: an empty line before a request is skipped.
    if (input.starts_with("\r\n")) return 2;
    if (input == "\r") return 0;
    head_started_ = true;
    scanner_.Reset();
    ArmDeadline(context_->limits.header_timeout);
  }
  const auto& limits = context_->limits;
  const auto state = scanner_.Scan(input.substr(0, limits.head_bytes));
  if (state == HeadScanner::State::kIncomplete && input.size() < limits.head_bytes) return 0;
  head_started_ = false;
  if (state == HeadScanner::State::kIncomplete) {
    FailHead({.problem = HeadTooLarge(scanner_.request_line_complete())});
    return input.size();
  }
  if (state == HeadScanner::State::kMalformed) {
    FailHead({.problem = {.status = 400,
                          .code = "invalid_request",
                          .detail = "A line of the request's head does not end with CR LF."}});
    return input.size();
  }
  const size_t size = scanner_.head_bytes();
  auto parsed = ParseHead(input.substr(0, size), limits);
  if (const auto* bad = std::get_if<BadHead>(&parsed)) {
    FailHead(*bad);
    return input.size();
  }
  OnHead(std::get<RequestHead>(std::move(parsed)));
  return size;
}

void Connection::OnHead(RequestHead head) {
  BeginExchange(head);
  input_ = Input::kWaiting;
  head.request.peer = peer_;
  auto match = context_->router.Find(head.request.method, head.request.segments);
  if (!match) return AnswerUnrouted(head.request);
  head.request.path_parameters = std::move(match->parameters);
  OpenBody(std::move(head), std::move(*match));
}

void Connection::AnswerUnrouted(const Request& request) {
  {
    // A body would have to be read to keep the connection; it is not worth that.
    MutexLock lock(mutex_);
    last_request_ = last_request_ || body_incomplete_;
  }
  const bool whole_server = request.segments.empty();  // "*"
  const std::string allow = whole_server ? "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
                                         : context_->router.AllowedMethods(request.segments);
  if (request.method == "OPTIONS" && !allow.empty()) {
    Respond(exchange_number_, {.status = 204, .headers = {{"Allow", allow}}}, false);
    return;
  }
  Problem problem{
      .status = 404, .code = "route_not_found", .detail = "There is nothing at this path."};
  if (!allow.empty()) {
    problem = {.status = 405,
               .code = "method_not_allowed",
               .detail = "This resource does not have this method."};
  }
  Response response = ProblemAnswer(problem);
  if (!allow.empty()) response.headers.Set("Allow", allow);
  Respond(exchange_number_, std::move(response), current_is_head_);
}

void Connection::OpenBody(RequestHead head, Router::Match match) {
  const Route& route = *match.route;
  const auto* opener = std::get_if<UploadOpener>(&route.action);
  const auto& limits = context_->limits;
  body_.emplace();
  body_->route = &route;
  body_->chunked = head.request.chunked;
  body_->left = head.request.content_length.value_or(0);
  body_->limit = route.body_bytes > 0 ? route.body_bytes : limits.body_bytes;
  if (opener != nullptr) body_->limit = limits.upload_bytes;
  body_->request = std::move(head.request);

  if (body_->left > body_->limit) return Fail(TooLarge());
  if (opener != nullptr) OpenUpload(*opener);
  if (!body_) return;
  if (!body_->chunked && body_->left == 0) return FinishBody();
  input_ = Input::kBody;
  ArmDeadline(limits.body_idle_timeout);
  if (head.expects_continue) SendContinue();
}

void Connection::OpenUpload(const UploadOpener& opener) {
  auto responder =
      std::make_shared<Responder>(shared_from_this(), exchange_number_, std::move(body_->request));
  try {
    body_->sink = opener(responder->request(), responder);
  } catch (...) {
    FailWithException(std::current_exception());
  }
  responder.reset();
  if (!body_->sink || !ExchangeIs(Exchange::kOpen)) AbandonBody();
}

size_t Connection::ConsumeBody(std::string_view input) {
  ArmDeadline(context_->limits.body_idle_timeout);
  if (!body_->chunked) {
    const auto piece = input.substr(0, std::min<uint64_t>(body_->left, input.size()));
    body_->left -= piece.size();
    DeliverBody(piece);
    if (body_ && body_->left == 0) FinishBody();
    return piece.size();
  }
  const auto step = body_->decoder.Next(input);
  if (step.status == ChunkedDecoder::Status::kMalformed) {
    Fail({.status = 400, .code = "invalid_request", .detail = "The chunked body is malformed."});
    return input.size();
  }
  if (!step.data.empty()) DeliverBody(step.data);
  if (body_ && step.status == ChunkedDecoder::Status::kDone) FinishBody();
  return step.consumed;
}

void Connection::DeliverBody(std::string_view bytes) {
  body_->received += bytes.size();
  if (body_->received > body_->limit) return Fail(TooLarge());
  if (!body_->sink) {
    body_->request.body.append(bytes);
    return;
  }
  try {
    body_->sink->Data(bytes);
  } catch (...) {
    FailWithException(std::current_exception());
  }
  if (!ExchangeIs(Exchange::kOpen)) AbandonBody();
}

void Connection::FinishBody() {
  IncomingBody body = std::move(*body_);
  body_.reset();
  input_ = Input::kWaiting;
  deadline_.reset();
  {
    MutexLock lock(mutex_);
    body_incomplete_ = false;
  }
  if (!body.sink) {
    return Dispatch(std::get<Handler>(body.route->action), std::move(body.request));
  }
  try {
    body.sink->Done();
  } catch (...) {
    FailWithException(std::current_exception());
  }
}

void Connection::AbandonBody() {
  input_ = Input::kWaiting;
  deadline_.reset();
  if (!body_) return;
  IncomingBody body = std::move(*body_);
  body_.reset();
  {
    MutexLock lock(mutex_);
    last_request_ = last_request_ || body_incomplete_;
  }
  if (!body.sink) return;
  try {
    body.sink->Abort();
  } catch (...) {
    FailWithException(std::current_exception());
  }
}

void Connection::Dispatch(const Handler& handler, Request request) {
  auto responder =
      std::make_shared<Responder>(shared_from_this(), exchange_number_, std::move(request));
  try {
    handler(responder->request(), responder);
  } catch (...) {
    FailWithException(std::current_exception());
  }
}

void Connection::FinishInput() {
  if (input_ == Input::kBody) {
    Fail({.status = 400,
          .code = "invalid_request",
          .detail = "The connection ended before the request's body did.",
          .retryable = true});
  }
  // A client that only ended its sending side still gets the answers to all that it had sent.
  while (input_ == Input::kWaiting && SettleExchange()) Feed({});
  if (input_ != Input::kWaiting) Close();
}

}  // namespace millrace::http
