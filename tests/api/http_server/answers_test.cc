// Answers of handlers, as clients see them.

#include <fcntl.h>

#include <fstream>

#include "tests/api/http_server/fixture.h"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;

class HttpAnswers : public HttpServerTest {};

TEST_F(HttpAnswers, HeadGetsTheHeadOfGetWithoutItsBody) {
  Start();
  auto client = Connect();
  const auto head = client.Exchange("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), "5");
  // A body on the first answer would be taken for the beginning of this one.
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
  const auto missing = client.Exchange("HEAD /none HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.Header("Content-Length"), "0");
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpAnswers, SendsNoBodyWithNoContent) {
  router_.Add("DELETE", "/thing", [](const Request&, const ResponderPtr& responder) {
    responder->Send({.status = 204, .body = "must not be sent"});
  });
  Start();
  auto client = Connect();
  const auto reply = client.Exchange("DELETE /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.Header("Content-Length"), "");
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpAnswers, KeepsTheTextOfExceptionsToItself) {
  router_.Add("GET", "/throws", [](const Request&, const ResponderPtr&) {
    throw std::runtime_error("secret of the house");
  });
  Start();
  auto client = Connect();
  const auto reply = client.Exchange("GET /throws HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.Header("Content-Type"), "application/problem+json");
  EXPECT_NE(reply.body.find("\"code\":\"internal\""), std::string::npos);
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpAnswers, AsksTheHooksForTheWordsOfTheService) {
  hooks_.on_problem = [](const Problem& problem) {
    return Response{.status = 200, .body = "problem " + problem.code};
  };
  hooks_.on_handler_error = [](std::exception_ptr error) -> Response {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::out_of_range& e) {
      return {.status = 422, .body = e.what()};
    }
    throw std::runtime_error("a hook that fails itself");
  };
  router_.Add("GET", "/range",
              [](const Request&, const ResponderPtr&) { throw std::out_of_range("too far"); });
  router_.Add("GET", "/silent", [](const Request&, const ResponderPtr&) {});
  Start();
  const auto problem = Ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(problem.status, 404);
  EXPECT_EQ(problem.body, "problem route_not_found");
  const auto mapped = Ask("GET /range HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(mapped.status, 422);
  EXPECT_EQ(mapped.body, "too far");
  const auto bare = Ask("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(bare.status, 500);
  EXPECT_EQ(bare.body, "");
}

TEST_F(HttpAnswers, AnswersForAHandlerThatLetsGoOfItsResponder) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  held_.Take().reset();
  EXPECT_EQ(client.ReadReply().status, 500);
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpAnswers, TakesTheFirstAnswerOnly) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto responder = held_.Take();
  ASSERT_TRUE(responder);
  EXPECT_TRUE(responder->Send({.body = "one"}));
  EXPECT_FALSE(responder->Send({.body = "two"}));
  EXPECT_EQ(responder->BeginStream(200, {}), nullptr);
  EXPECT_EQ(client.ReadReply().body, "one");
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpAnswers, RefusesToSplitItselfAtALineBreakInAHeader) {
  router_.Add("GET", "/split", [](const Request&, const ResponderPtr& responder) {
    responder->Send({.headers = {{"Location", "a\r\nSet-Cookie: stolen"}}});
  });
  Start();
  const auto reply = Ask("GET /split HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.Header("Set-Cookie"), "");
}

TEST_F(HttpAnswers, AnswersFromAnyThreadWhileOthersAreServed) {
  Start();
  std::vector<RawHttpClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(Connect());
    clients.back().Send("GET /held?n=" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        const auto responder = held_.Take();
        responder->Send({.body = std::string(*responder->request().query.Find("n"))});
      }
    });
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(clients[i].ReadReply().body, std::to_string(i));
  for (auto& thread : threads) thread.join();
}

class HttpFiles : public HttpServerTest {
 protected:
  HttpFiles() {
    folder_ = std::filesystem::temp_directory_path() /
              ("millrace-http-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "file") << "0123456789";
    std::ofstream(folder_ / "empty");
    router_.Add("GET", "/file/{name}", [this](const Request& request, const ResponderPtr& r) {
      FileResponse response{.file = OpenForSending(folder_ / request.PathParameter("name")),
                            .media_type = "video/mp4",
                            .etag = "\"abc\"",
                            .headers = {{"Cache-Control", "private"}}};
      if (!response.file) {
        r->Send({.status = 404});
        return;
      }
      r->SendFile(std::move(response));
    });
  }
  ~HttpFiles() override { std::filesystem::remove_all(folder_); }

  RawReply Get(const std::string& fields, const std::string& method = "GET",
               const std::string& name = "file") {
    return Ask(method + " /file/" + name + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n");
  }

  std::filesystem::path folder_;
};

TEST_F(HttpFiles, SendsAWholeFile) {
  Start();
  const auto reply = Get("");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "0123456789");
  EXPECT_EQ(reply.Header("Content-Type"), "video/mp4");
  EXPECT_EQ(reply.Header("ETag"), "\"abc\"");
  EXPECT_EQ(reply.Header("Accept-Ranges"), "bytes");
  EXPECT_EQ(reply.Header("Cache-Control"), "private");
  EXPECT_EQ(Get("", "GET", "empty").Header("Content-Length"), "0");
}

TEST_F(HttpFiles, SendsHeadsOfFilesWithTheirLength) {
  Start();
  const auto reply = Get("Range: bytes=2-3\r\n", "HEAD");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("Content-Length"), "10");
}

TEST_F(HttpFiles, SendsPartsOfFiles) {
  Start();
  const auto part = Get("Range: bytes=2-4\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.Header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(part.Header("Content-Length"), "3");
  EXPECT_EQ(Get("Range: bytes=7-\r\n").body, "789");
  EXPECT_EQ(Get("Range: bytes=-2\r\n").body, "89");
  EXPECT_EQ(Get("Range: bytes=0-1,4-5\r\n").body, "0123456789");
}

TEST_F(HttpFiles, RefusesPartsBehindTheEnd) {
  Start();
  const auto reply = Get("Range: bytes=10-\r\n");
  EXPECT_EQ(reply.status, 416);
  EXPECT_EQ(reply.Header("Content-Range"), "bytes */10");
}

TEST_F(HttpFiles, AnswersConditionalRequests) {
  Start();
  const auto same = Get("If-None-Match: \"x\", W/\"abc\"\r\n");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.Header("ETag"), "\"abc\"");
  EXPECT_EQ(Get("If-None-Match: \"x\"\r\n").status, 200);
  EXPECT_EQ(Get("Range: bytes=0-1\r\nIf-Range: \"abc\"\r\n").status, 206);
  EXPECT_EQ(Get("Range: bytes=0-1\r\nIf-Range: \"old\"\r\n").status, 200);
}

TEST_F(HttpFiles, OpensRegularFilesOnly) {
  std::filesystem::create_symlink(folder_ / "file", folder_ / "link");
  EXPECT_TRUE(OpenForSending(folder_ / "file"));
  EXPECT_FALSE(OpenForSending(folder_ / "link"));
  EXPECT_FALSE(OpenForSending(folder_));
  EXPECT_FALSE(OpenForSending(folder_ / "none"));
}

TEST_F(HttpFiles, BreaksOffWhenAFileShrinksUnderItsAnswer) {
  std::filesystem::resize_file(folder_ / "file", 64 << 20);
  Start();
  RawHttpClient client(server_->port(), 4096);
  client.Send("GET /file/file HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(client.Skip(1000));
  std::filesystem::resize_file(folder_ / "file", 1000);
  EXPECT_FALSE(client.Skip((64ull << 20) - 2000));
}

class HttpStreams : public HttpServerTest {};

TEST_F(HttpStreams, SendsPiecesAsTheyCome) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  auto stream = held_.Take()->BeginStream(200, {{"Content-Type", "text/event-stream"}});
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->Write("data: 1\n\n"), BodyStream::WriteResult::kQueued);
  EXPECT_EQ(stream->Write(""), BodyStream::WriteResult::kQueued);
  EXPECT_EQ(stream->Write("data: 2\n\n"), BodyStream::WriteResult::kQueued);
  stream->End();
  EXPECT_EQ(stream->Write("late"), BodyStream::WriteResult::kClosed);
  const auto reply = client.ReadReply();
  EXPECT_EQ(reply.Header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(reply.body, "data: 1\n\ndata: 2\n\n");
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpStreams, SpeaksToHttp10WithoutChunks) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  auto stream = held_.Take()->BeginStream(200, {});
  ASSERT_TRUE(stream);
  stream->Write("abc");
  stream->End();
  const auto reply = client.ReadReply();
  EXPECT_EQ(reply.Header("Transfer-Encoding"), "");
  EXPECT_EQ(reply.body, "abc");
  EXPECT_TRUE(reply.complete);
}

TEST_F(HttpStreams, LetsTheClientSeeThatAStreamWasCut) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  auto stream = held_.Take()->BeginStream(200, {});
  ASSERT_TRUE(stream);
  stream->Write("abc");
  stream.reset();
  EXPECT_FALSE(client.ReadReply().complete);
}

TEST_F(HttpStreams, TellsTheWriterThatTheClientReadsTooSlowly) {
  options_.limits.stream_queue_bytes = 100'000;
  Start();
  RawHttpClient client(server_->port(), 4096);
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  auto stream = held_.Take()->BeginStream(200, {});
  ASSERT_TRUE(stream);
  const std::string piece(10'000, 'x');
  size_t queued = 0;
  while (queued < 10'000 && stream->Write(piece) == BodyStream::WriteResult::kQueued) ++queued;
  ASSERT_LT(queued, 10'000u) << "the queue has no bound";
  EXPECT_EQ(stream->Write(piece), BodyStream::WriteResult::kFull);
  // Nothing of what was taken is lost.
  std::thread ender([&] { stream->End(); });
  const auto reply = client.ReadReply();
  ender.join();
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(reply.body.size(), queued * piece.size());
}

TEST_F(HttpStreams, TellsTheWriterThatTheClientIsGone) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto responder = held_.Take();
  Event gone;
  responder->OnDisconnect([&] { gone.Set(); });
  auto stream = responder->BeginStream(200, {});
  ASSERT_TRUE(stream);
  client.Reset();
  EXPECT_TRUE(gone.Wait());
  EXPECT_EQ(stream->Write("late"), BodyStream::WriteResult::kClosed);
}

TEST_F(HttpAnswers, TellsAHandlerOnceThatItsClientIsGone) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto responder = held_.Take();
  Event gone;
  responder->OnDisconnect([&] { gone.Set(); });
  client.Reset();
  EXPECT_TRUE(gone.Wait());
  EXPECT_FALSE(responder->Send({.body = "late"}));
  Event at_once;
  responder->OnDisconnect([&] { at_once.Set(); });
  EXPECT_TRUE(at_once.Wait());
}

}  // namespace
}  // namespace millrace::http
