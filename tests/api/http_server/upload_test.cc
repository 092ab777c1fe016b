// Bodies that are streamed to a sink.

#include <atomic>
#include <fstream>

#include "tests/api/http_server/fixture.h"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;

class HttpUploads : public HttpServerTest {};

TEST_F(HttpUploads, StreamsABodyOfDeclaredLength) {
  Start();
  auto client = Connect();
  const auto reply =
      client.Exchange("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.body, "5");
  EXPECT_EQ(log_->data, "hello");
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpUploads, StreamsAChunkedBody) {
  Start();
  auto client = Connect();
  const auto reply = client.Exchange(
      "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(reply.status, 100);
  EXPECT_EQ(client.Exchange("5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n").body, "12");
  EXPECT_EQ(log_->data, "hello, world");
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpUploads, TakesAnEmptyBody) {
  Start();
  auto client = Connect();
  EXPECT_EQ(client.Exchange("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").body,
            "0");
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpUploads, KeepsWhatCameBeforeTheClientLeft) {
  Start();
  auto client = Connect();
  client.Send("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" +
              std::string(300, 'a'));
  ASSERT_TRUE(Eventually([&] {
    std::lock_guard lock(log_->mutex);
    return log_->data.size() == 300;
  }));
  client.Reset();
  EXPECT_TRUE(log_->finished.Wait());
  EXPECT_TRUE(log_->aborted);
  EXPECT_FALSE(log_->done);
}

TEST_F(HttpUploads, TellsAClientThatEndsItsSideTooEarly) {
  Start();
  auto client = Connect();
  client.Send("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
  client.CloseWrite();
  EXPECT_EQ(client.ReadReply().status, 400);
  EXPECT_TRUE(log_->finished.Wait());
  EXPECT_TRUE(log_->aborted);
}

TEST_F(HttpUploads, AbortsABodyWhoseChunksAreMalformed) {
  Start();
  auto client = Connect();
  client.Send("PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX");
  EXPECT_EQ(client.ReadReply().status, 400);
  EXPECT_TRUE(log_->finished.Wait());
  EXPECT_TRUE(log_->aborted);
  EXPECT_EQ(log_->data, "abc");
}

TEST_F(HttpUploads, RefusesABodyOverTheLimit) {
  options_.limits.upload_bytes = 10;
  Start();
  EXPECT_EQ(Ask("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n").status, 413);
  auto client = Connect();
  client.Send(
      "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789A\r\n");
  EXPECT_EQ(client.ReadReply().status, 413);
  EXPECT_TRUE(client.AtEnd());
}

// The client must be able to read the answer though it is still sending: a close with unread input
// would make the kernel send a reset that can destroy it.
TEST_F(HttpUploads, AnswersEarlyWithoutReadingTheBody) {
  router_.AddUpload("PUT", "/quota", [](const Request& request, const ResponderPtr& responder) {
    responder->Send({.status = 409, .body = std::to_string(*request.content_length)});
    return nullptr;
  });
  Start();
  auto client = Connect();
  client.Send("PUT /quota HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
  client.Send(std::string(20 << 20, 'x'));
  const auto reply = client.ReadReply();
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(reply.body, "100000000");
  EXPECT_EQ(reply.Header("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
  EXPECT_FALSE(client.WasReset());
}

TEST_F(HttpUploads, AnswersForAnOpenerThatThrows) {
  router_.AddUpload("PUT", "/throws",
                    [](const Request&, const ResponderPtr&) -> std::unique_ptr<BodySink> {
                      throw std::runtime_error("secret");
                    });
  Start();
  const auto reply = Ask("PUT /throws HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
}

// A disk that is full after the first bytes.
class FullSink final : public BodySink {
 public:
  FullSink(ResponderPtr responder, Event* aborted, bool throws)
      : responder_(std::move(responder)), aborted_(aborted), throws_(throws) {}
  void Data(std::string_view) override {
    if (throws_) throw std::runtime_error("no space");
    responder_->Send({.status = 507});
  }
  void Done() override {}
  void Abort() override { aborted_->Set(); }

 private:
  const ResponderPtr responder_;
  Event* const aborted_;
  const bool throws_;
};

TEST_F(HttpUploads, LetsASinkAnswerInTheMiddle) {
  Event answered_abort;
  Event thrown_abort;
  router_.AddUpload("PUT", "/full", [&](const Request&, ResponderPtr responder) {
    return std::make_unique<FullSink>(std::move(responder), &answered_abort, false);
  });
  router_.AddUpload("PUT", "/broken", [&](const Request&, ResponderPtr responder) {
    return std::make_unique<FullSink>(std::move(responder), &thrown_abort, true);
  });
  Start();
  for (const auto& [path, status] : {std::pair{"/full", 507}, std::pair{"/broken", 500}}) {
    auto client = Connect();
    client.Send("PUT " + std::string(path) +
                " HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n");
    client.Send(std::string(5 << 20, 'x'));
    EXPECT_EQ(client.ReadReply().status, status);
    EXPECT_TRUE(client.AtEnd());
    EXPECT_FALSE(client.WasReset());
  }
  EXPECT_TRUE(answered_abort.Wait());
  EXPECT_TRUE(thrown_abort.Wait());
}

TEST_F(HttpUploads, LetsAnotherThreadAnswerInTheMiddle) {
  HeldAnswers held;
  router_.AddUpload("PUT", "/revoked", [&](const Request& request, const ResponderPtr& responder) {
    held.Holder()(request, responder);
    return std::make_unique<CollectingSink>(log_, responder);
  });
  Start();
  auto client = Connect();
  client.Send("PUT /revoked HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
  held.Take()->Send({.status = 410});
  EXPECT_EQ(client.ReadReply().status, 410);
  EXPECT_TRUE(client.AtEnd());
  EXPECT_TRUE(log_->finished.Wait());
  EXPECT_TRUE(log_->aborted);
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

class CountingSink final : public BodySink {
 public:
  CountingSink(ResponderPtr responder, std::atomic<uint64_t>* peak)
      : responder_(std::move(responder)), peak_(peak) {}
  void Data(std::string_view bytes) override {
    received_ += bytes.size();
    if (received_ - looked_at_ < (8 << 20)) return;
    looked_at_ = received_;
    *peak_ = std::max(peak_->load(), ResidentBytes());
  }
  void Done() override { responder_->Send({.status = 201, .body = std::to_string(received_)}); }
  void Abort() override {}

 private:
  const ResponderPtr responder_;
  std::atomic<uint64_t>* const peak_;
  uint64_t received_ = 0;
  uint64_t looked_at_ = 0;
};

TEST_F(HttpUploads, TakesALargeFileInConstantMemory) {
  constexpr uint64_t kPiece = 1 << 20;
  constexpr uint64_t kPieces = 256;
  std::atomic<uint64_t> peak{0};
  router_.AddUpload("PUT", "/count", [&](const Request&, ResponderPtr responder) {
    return std::make_unique<CountingSink>(std::move(responder), &peak);
  });
  Start();
  const std::string piece(kPiece, 'x');
  const uint64_t before = ResidentBytes();
  auto client = Connect();
  client.Send("PUT /count HTTP/1.1\r\nHost: x\r\nContent-Length: " +
              std::to_string(kPiece * kPieces) + "\r\n\r\n");
  for (uint64_t i = 0; i < kPieces; ++i) ASSERT_TRUE(client.Send(piece));
  EXPECT_EQ(client.ReadReply().body, std::to_string(kPiece * kPieces));
  EXPECT_LT(peak.load(), before + (16 << 20));
}

}  // namespace
}  // namespace millrace::http
