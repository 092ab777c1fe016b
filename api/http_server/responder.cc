#include "api/http_server/responder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "api/http_server/byte_range.h"
#include "api/http_server/connection.h"

namespace millrace::http {
namespace {

bool IsNotModified(const Request& request, const std::string& etag) {
  const auto if_none_match = request.headers.Find("If-None-Match");
  return if_none_match && NoneMatchNames(*if_none_match, etag);
}

// Only GET has ranges (RFC 9110, section 14.2).
RangeDecision DecideRangeOf(const Request& request, const std::string& etag, uint64_t file_bytes) {
  const auto range = request.headers.Find("Range");
  if (!range || request.method != "GET" || !IfRangeHolds(request.headers.Find("If-Range"), etag)) {
    return {};
  }
  return DecideRange(*range, file_bytes);
}

}  // namespace

void DisconnectSignal::Set(std::function<void()> callback) {
  {
    MutexLock lock(mutex_);
    if (!fired_) {
      callback_.swap(callback);
      return;  // the callback that was replaced dies here, after the lock
    }
  }
  if (callback) callback();
}

void DisconnectSignal::Fire() {
  std::function<void()> callback;
  {
    MutexLock lock(mutex_);
    if (fired_) return;
    fired_ = true;
    callback.swap(callback_);
  }
  if (callback) callback();
}

BodyStream::BodyStream(std::shared_ptr<Connection> connection, uint64_t exchange,
                       std::shared_ptr<DisconnectSignal> disconnect)
    : connection_(std::move(connection)), exchange_(exchange), disconnect_(std::move(disconnect)) {}

BodyStream::~BodyStream() {
  if (!ended_.exchange(true)) connection_->BreakStream(exchange_);
}

BodyStream::WriteResult BodyStream::Write(std::string_view piece) {
  return connection_->WriteStream(exchange_, piece);
}

void BodyStream::End() {
  if (!ended_.exchange(true)) connection_->EndStream(exchange_);
}

Responder::Responder(std::shared_ptr<Connection> connection, uint64_t exchange, Request request)
    : connection_(std::move(connection)),
      exchange_(exchange),
      request_(std::move(request)),
      disconnect_(std::make_shared<DisconnectSignal>()) {
  connection_->SetDisconnectSignal(exchange_, disconnect_);
}

Responder::~Responder() {
  if (Claim()) {
    connection_->Respond(exchange_, connection_->ErrorResponse(nullptr), request_.is_head());
  }
}

bool Responder::Send(Response response) {
  return Claim() && connection_->Respond(exchange_, std::move(response), request_.is_head());
}

bool Responder::SendFile(FileResponse response) {
  if (!Claim()) return false;
  struct stat facts {};
  if (!response.file || ::fstat(response.file.get(), &facts) != 0 ||
      !FieldsAreLegal(response.headers)) {
    return connection_->Respond(exchange_, connection_->ErrorResponse(nullptr), request_.is_head());
  }
  const auto file_bytes = static_cast<uint64_t>(facts.st_size);
  Headers headers = std::move(response.headers);
  if (!response.etag.empty()) headers.Set("ETag", response.etag);
  headers.Set("Accept-Ranges", "bytes");
  if (IsNotModified(request_, response.etag)) {
    return connection_->Respond(exchange_, {.status = 304, .headers = std::move(headers)}, true);
  }
  const auto range = DecideRangeOf(request_, response.etag, file_bytes);
  if (range.kind == RangeDecision::Kind::kUnsatisfiable) {
    Response refusal =
        connection_->ProblemAnswer({.status = 416,
                                    .code = "range_not_satisfiable",
                                    .detail = "The range begins behind the end of the file."});
    refusal.headers.Set("Content-Range", fmt::format("bytes */{}", file_bytes));
    return connection_->Respond(exchange_, std::move(refusal), false);
  }
  headers.Set("Content-Type", response.media_type);
  ByteRange part{.first = 0, .length = file_bytes};
  ResponseHead head{.status = 200, .framing = Framing::kLength};
  if (range.kind == RangeDecision::Kind::kPart) {
    part = range.part;
    head.status = 206;
    headers.Set("Content-Range", fmt::format("bytes {}-{}/{}", part.first,
                                             part.first + part.length - 1, file_bytes));
  }
  head.headers = std::move(headers);
  head.content_length = part.length;
  if (request_.is_head()) part.length = 0;
  return connection_->RespondWithFile(exchange_, std::move(head), std::move(response.file), part);
}

std::unique_ptr<BodyStream> Responder::BeginStream(int status, Headers headers) {
  if (!Claim()) return nullptr;
  if (!FieldsAreLegal(headers)) {
    connection_->Respond(exchange_, connection_->ErrorResponse(nullptr), request_.is_head());
    return nullptr;
  }
  ResponseHead head{.status = status, .headers = std::move(headers)};
  if (!connection_->BeginStream(exchange_, std::move(head), !request_.is_head())) return nullptr;
  return std::make_unique<BodyStream>(connection_, exchange_, disconnect_);
}

void Responder::OnDisconnect(std::function<void()> callback) {
  disconnect_->Set(std::move(callback));
}

}  // namespace millrace::http
