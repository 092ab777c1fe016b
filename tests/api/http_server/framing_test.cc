// The bounds of a request on its connection: a literal request, its literal reply.

#include "tests/api/http_server/fixture.h"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;

struct RequestAndStatus {
  std::string_view name;
  std::string request;
  int status;
};

class HttpFramingRefusals : public HttpServerTest,
                            public testing::WithParamInterface<RequestAndStatus> {};

// A request that was refused must never be followed by another on the same connection: where that
// would begin is unknown. Each gets a second request appended that must not run.
TEST_P(HttpFramingRefusals, AnswersAndClosesWithoutReadingOn) {
  bool smuggled = false;
  router_.Add("GET", "/smuggled", [&](const Request&, const ResponderPtr& responder) {
    smuggled = true;
    responder->Send({});
  });
  options_.limits.body_bytes = 1000;
  Start();
  auto client = Connect();
  client.Send(GetParam().request + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto reply = client.ReadReply();
  EXPECT_EQ(reply.status, GetParam().status);
  EXPECT_EQ(reply.Header("Connection"), "close");
  EXPECT_EQ(reply.Header("Content-Type"), "application/problem+json");
  EXPECT_NE(reply.body.find("\"code\":"), std::string::npos);
  EXPECT_TRUE(client.AtEnd());
  server_->Stop(0ms);
  EXPECT_FALSE(smuggled);
}

std::string Post(const std::string& fields, const std::string& body = "hello") {
  return "POST /echo HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n\r\n" + body;
}

INSTANTIATE_TEST_SUITE_P(
    , HttpFramingRefusals,
    testing::Values(
        RequestAndStatus{"BodyOverTheLimit", Post("Content-Length: 5000", std::string(5000, 'x')),
                         413},
        RequestAndStatus{"DoubleLength", Post("Content-Length: 5\r\nContent-Length: 5"), 400},
        RequestAndStatus{"DifferentLengths", Post("Content-Length: 5\r\nContent-Length: 6"), 400},
        RequestAndStatus{"LengthList", Post("Content-Length: 5, 5"), 400},
        RequestAndStatus{"LengthWithSuffix", Post("Content-Length: 5x"), 400},
        RequestAndStatus{"LengthWithSign", Post("Content-Length: +5"), 400},
        RequestAndStatus{"NegativeLength", Post("Content-Length: -1"), 400},
        RequestAndStatus{"EmptyLength", Post("Content-Length:"), 400},
        RequestAndStatus{"HugeLength", Post("Content-Length: 9223372036854775808"), 400},
        RequestAndStatus{"LargeLength", Post("Content-Length: 1000000000000000"), 413},
        RequestAndStatus{"LengthAndChunked",
                         Post("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400},
        RequestAndStatus{"DoubleChunked",
                         Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400},
        RequestAndStatus{"UnknownCoding", Post("Transfer-Encoding: gzip, chunked"), 501},
        RequestAndStatus{"ChunkedInHttp10",
                         "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        RequestAndStatus{"MalformedChunk", Post("Transfer-Encoding: chunked", "zz\r\n"), 400},
        RequestAndStatus{"ChunksOverTheLimit",
                         Post("Transfer-Encoding: chunked",
                              "800\r\n" + std::string(0x800, 'x') + "\r\n0\r\n\r\n"),
                         413},
        RequestAndStatus{"SpaceBeforeColon", Post("Content-Length : 5"), 400},
        RequestAndStatus{"FoldedLine", Post("A: b\r\n c: d\r\nContent-Length: 5"), 400},
        RequestAndStatus{"FieldWithoutName", Post(": b"), 400},
        RequestAndStatus{"ControlCharacter", Post("A: b\x01"), 400},
        RequestAndStatus{"BareLineFeed", "GET /hello HTTP/1.1\nHost: x\n\n", 400},
        RequestAndStatus{"NoHost", "GET /hello HTTP/1.1\r\n\r\n", 400},
        RequestAndStatus{"TwoHosts", "GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
        RequestAndStatus{"UnknownMethod", "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", 501},
        RequestAndStatus{"LowerCaseMethod", "get /hello HTTP/1.1\r\nHost: x\r\n\r\n", 501},
        RequestAndStatus{"BadMethod", "G(T /hello HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"NewerVersion", "GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        RequestAndStatus{"NoVersion", "GET /hello\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"BadVersion", "GET /hello HTTP/1.x\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"DotDot", "GET /a/../hello HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"EncodedDotDot", "GET /%2e%2E/hello HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"EncodedNul", "GET /hello%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"BadEscape", "GET /hello%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"RawByteInPath", "GET /h\xC3\xA9 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"RelativeTarget", "GET hello HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        RequestAndStatus{"OtherExpectation", Post("Expect: a-miracle\r\nContent-Length: 5"), 417},
        RequestAndStatus{"HeadFlood", Post("A: " + std::string(20 << 10, 'a')), 431},
        RequestAndStatus{"FieldFlood",
                         [] {
                           std::string fields = "A: b";
                           for (int i = 0; i < 200; ++i) fields += "\r\nA: b";
                           return Post(fields);
                         }(),
                         431},
        RequestAndStatus{"LongTarget",
                         "GET /" + std::string(9 << 10, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
        RequestAndStatus{"EndlessTarget", "GET /" + std::string(20 << 10, 'a'), 414}),
    [](const auto& test) { return std::string(test.param.name); });

class HttpFraming : public HttpServerTest {};

TEST_F(HttpFraming, AnswersALiteralRequestWithALiteralReply) {
  Start();
  auto client = Connect();
  client.Send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  auto reply = client.ReadToEnd();
  const auto date = reply.find("Date: ");
  ASSERT_NE(date, std::string::npos);
  reply.erase(date, reply.find("\r\n", date) + 2 - date);
  EXPECT_EQ(reply,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
            "Connection: close\r\n\r\nhello");
}

TEST_F(HttpFraming, KeepsTheConnectionThoughTheClientSendsNoConnectionField) {
  Start();
  auto client = Connect();
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.Header("Connection"), "");
  }
}

TEST_F(HttpFraming, ClosesAfterHttp10UnlessAskedNotTo) {
  Start();
  auto once = Connect();
  EXPECT_EQ(once.Exchange("GET /hello HTTP/1.0\r\n\r\n").body, "hello");
  EXPECT_TRUE(once.AtEnd());
  auto kept = Connect();
  for (int i = 0; i < 2; ++i) {
    const auto reply = kept.Exchange("GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    EXPECT_EQ(reply.body, "hello");
    EXPECT_EQ(reply.Header("Connection"), "keep-alive");
  }
}

TEST_F(HttpFraming, AnswersPipelinedRequestsInTheirOrder) {
  Start();
  auto client = Connect();
  std::string requests;
  for (int i = 0; i < 300; ++i) {
    const auto body = std::to_string(i);
    requests += "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
  }
  client.Send(requests);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(client.ReadReply().body, std::to_string(i));
}

TEST_F(HttpFraming, HoldsPipelinedRequestsBackWhileAnAnswerIsAwaited) {
  options_.limits.pipeline_bytes = 4096;
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto responder = held_.Take();
  ASSERT_TRUE(responder);
  // Far more than the buffer of the server and those of the sockets: the client must be held back,
  // not buffered and not cut off.
  const std::string next = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
  std::string many;
  for (int i = 0; i < 1000; ++i) many += next;
  std::string unsent;
  size_t sent_requests = 0;
  for (int i = 0; i < 1000; ++i) {
    const size_t sent = client.SendSome(many);
    if (sent < many.size()) {
      unsent = many.substr(sent);
      sent_requests += 1000;
      break;
    }
    sent_requests += 1000;
  }
  ASSERT_FALSE(unsent.empty()) << "the server read on without a bound";
  responder->Send({.body = "first"});
  EXPECT_EQ(client.ReadReply().body, "first");
  std::thread rest([&] { client.Send(unsent); });
  size_t answers = 0;
  while (answers < sent_requests && client.ReadReply().body == "hello") ++answers;
  rest.join();
  EXPECT_EQ(answers, sent_requests);
}

TEST_F(HttpFraming, ReadsARequestThatArrivesByteByByte) {
  Start();
  auto client = Connect();
  const std::string request =
      "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2;e\r\nde\r\n0\r\n\r\n";
  for (const char byte : request) client.Send({&byte, 1});
  EXPECT_EQ(client.ReadReply().body, "abcde");
}

TEST_F(HttpFraming, TellsTheClientToContinue) {
  Start();
  auto client = Connect();
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.ReadReply().status, 100);
  EXPECT_EQ(client.Exchange("ok").body, "ok");
}

TEST_F(HttpFraming, RefusesInsteadOfTellingTheClientToContinue) {
  Start();
  auto client = Connect();
  const auto reply = client.Exchange(
      "POST /none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.Header("Connection"), "close");
}

// Each of these is answered 415 or 500 by Pistache's own parser, before any handler.
TEST_F(HttpFraming, DeliversOrdinaryHeadersThatPistacheRefuses) {
  router_.Add("GET", "/field/{name}", [](const Request& request, const ResponderPtr& responder) {
    const auto value = request.headers.Find(request.PathParameter("name"));
    responder->Send({.body = std::string(value.value_or("(none)"))});
  });
  Start();
  auto client = Connect();
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"Cookie", "abc"},
                                                        {"Date", "x"},
                                                        {"Cache-Control", "foo=bar"},
                                                        {"Cache-Control", "max-age=x"},
                                                        {"Content-Type", "not a media type"},
                                                        {"Accept", "///"},
                                                        {"Authorization", ""},
                                                        {"x-CASE", "v"}}) {
    const auto reply = client.Exchange("GET /field/" + name + " HTTP/1.1\r\nHost: x\r\n" + name +
                                       ":  " + value + " \r\n\r\n");
    EXPECT_EQ(reply.status, 200) << name;
    EXPECT_EQ(reply.body, value) << name;
  }
  EXPECT_EQ(Ask("GET /field/Host HTTP/1.1\r\nHost: x:99999\r\n\r\n").body, "x:99999");
}

TEST_F(HttpFraming, DecodesPathAndQueryOnce) {
  router_.Add("GET", "/file/{path...}", [](const Request& request, const ResponderPtr& responder) {
    responder->Send({.body = request.PathParameter("path") + "|" +
                             std::string(request.query.Find("q").value_or(""))});
  });
  Start();
  EXPECT_EQ(Ask("GET /file/a%20b/%2541?q=%2541+c HTTP/1.1\r\nHost: x\r\n\r\n").body,
            "a b/%41|%41 c");
}

TEST_F(HttpFraming, TellsUnknownPathsFromUnknownMethods) {
  Start();
  EXPECT_EQ(Ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").status, 404);
  const auto wrong = Ask("DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.Header("Allow"), "GET, HEAD, OPTIONS");
  const auto options = Ask("OPTIONS /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.Header("Allow"), "OPTIONS, POST");
  EXPECT_EQ(Ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").status, 204);
}

TEST_F(HttpFraming, EndsASlowHeadWithATimeout) {
  options_.limits.header_timeout = 100ms;
  Start();
  auto client = Connect();
  client.Send("GET /hello HTTP/1.1\r\nHos");
  const auto reply = client.ReadReply();
  EXPECT_EQ(reply.status, 408);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpFraming, EndsASlowBodyWithATimeout) {
  options_.limits.body_idle_timeout = 100ms;
  Start();
  auto client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(client.ReadReply().status, 408);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpFraming, ClosesIdleConnections) {
  options_.limits.keep_alive_timeout = 100ms;
  Start();
  auto client = Connect();
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_TRUE(client.AtEnd());
  EXPECT_FALSE(client.WasReset());
}

TEST_F(HttpFraming, RefusesConnectionsOverTheCap) {
  options_.limits.connections = 2;
  Start();
  auto first = Connect();
  auto second = Connect();
  EXPECT_EQ(first.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_EQ(second.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  auto third = Connect();
  EXPECT_EQ(third.ReadReply().status, 503);
  EXPECT_TRUE(third.AtEnd());
  EXPECT_EQ(first.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

}  // namespace
}  // namespace millrace::http
