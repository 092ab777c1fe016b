// The parsers of outside bytes, without a socket.

#include <gtest/gtest.h>

#include "api/http_server/byte_range.h"
#include "api/http_server/chunked_decoder.h"
#include "api/http_server/request_head.h"
#include "api/http_server/request_target.h"
#include "api/http_server/response_head.h"
#include "api/http_server/router.h"

namespace millrace::http {
namespace {

struct Decoded {
  ChunkedDecoder::Status status;
  std::string body;
  size_t consumed;
};

// Feeds `input` in pieces of `step` bytes.
Decoded Decode(std::string_view input, size_t step) {
  ChunkedDecoder decoder;
  Decoded result{.status = ChunkedDecoder::Status::kMore, .body = {}, .consumed = 0};
  for (size_t at = 0; at < input.size(); at += step) {
    auto piece = input.substr(at, step);
    while (!piece.empty()) {
      const auto next = decoder.Next(piece);
      result.status = next.status;
      result.consumed += next.consumed;
      result.body += next.data;
      if (next.status != ChunkedDecoder::Status::kMore) return result;
      piece.remove_prefix(next.consumed);
    }
  }
  return result;
}

TEST(ChunkedDecoder, GivesTheSameBodyHoweverTheInputIsCut) {
  const std::string input =
      "5\r\nhello\r\n1;ext=\"v\"\r\n,\r\n00A\r\n 0123456\r\n\r\n0\r\nX: y\r\n\r\n";
  const std::string more = "GET";
  for (size_t step = 1; step <= input.size() + more.size(); ++step) {
    const auto decoded = Decode(input + more, step);
    EXPECT_EQ(decoded.status, ChunkedDecoder::Status::kDone) << step;
    EXPECT_EQ(decoded.body, "hello, 0123456\r\n") << step;
    EXPECT_EQ(decoded.consumed, input.size()) << step;
  }
}

TEST(ChunkedDecoder, RefusesWhatIsNotChunked) {
  for (const std::string_view bad :
       {"\r\n", "g\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n", "5\nhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n", "5\r\nhello\rX",
        "0\r\n\rX", "0\r\nA\x01\r\n", "1;\x01\r\n", "-1\r\n", "fffffffffffffffff\r\n"}) {
    EXPECT_EQ(Decode(bad, 1).status, ChunkedDecoder::Status::kMalformed) << bad;
    EXPECT_EQ(Decode(bad, bad.size()).status, ChunkedDecoder::Status::kMalformed) << bad;
  }
}

TEST(ChunkedDecoder, BoundsWhatIsNotBody) {
  EXPECT_EQ(Decode("1;" + std::string(20 << 10, 'x') + "\r\n", 4096).status,
            ChunkedDecoder::Status::kMalformed);
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "1;extens\r\nx\r\n";
  EXPECT_EQ(Decode(many, 4096).status, ChunkedDecoder::Status::kMalformed);
  EXPECT_EQ(Decode("0\r\nT: " + std::string(20 << 10, 'x') + "\r\n\r\n", 4096).status,
            ChunkedDecoder::Status::kMalformed);
}

TEST(PercentDecoded, UndoesEscapesOnce) {
  EXPECT_EQ(PercentDecoded("a%20b"), "a b");
  EXPECT_EQ(PercentDecoded("%2541"), "%41");
  EXPECT_EQ(PercentDecoded("%C3%A9%e2%82%AC"), "é€");
  EXPECT_EQ(PercentDecoded("+"), "+");
  for (const std::string_view bad : {"%", "%4", "%zz", "%4g", "%00", "%0A", "%7f", "%ff", "%C3",
                                     "%ED%A0%80", "%F5%80%80%80", "%C0%AF", "%F4%90%80%80"}) {
    EXPECT_EQ(PercentDecoded(bad), std::nullopt) << bad;
  }
}

TEST(ParseTarget, SplitsPathAndQuery) {
  const auto target = ParseTarget("/a/b%20c/?x=1&y=a%26b+c&x=2&flag&=v&&z=a=b");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->segments, (std::vector<std::string>{"a", "b c", ""}));
  EXPECT_EQ(target->query.Find("x"), "1");
  EXPECT_EQ(target->query.All("x"), (std::vector<std::string_view>{"1", "2"}));
  EXPECT_EQ(target->query.Find("y"), "a&b c");
  EXPECT_EQ(target->query.Find("flag"), "");
  EXPECT_EQ(target->query.Find("z"), "a=b");
  EXPECT_EQ(target->query.Find("missing"), std::nullopt);
  EXPECT_EQ(ParseTarget("http://host:80/p?q=1")->segments, std::vector<std::string>{"p"});
  EXPECT_EQ(ParseTarget("http://host")->segments, std::vector<std::string>{""});
  EXPECT_TRUE(ParseTarget("*")->segments.empty());
}

TEST(ParseTarget, RefusesWhatMeansAnotherPathToAFileSystem) {
  for (const std::string_view bad : {"/..", "/a/../b", "/%2e%2e/b", "/.", "/a/%2E", "/a%2Fb",
                                     "/%00", "/a?x=%zz", "/a?%00=1", "a", ""}) {
    EXPECT_FALSE(ParseTarget(bad)) << bad;
  }
}

TEST(DecideRange, FollowsTheRfc) {
  const auto part = [](std::string_view field, uint64_t size) { return DecideRange(field, size); };
  using Kind = RangeDecision::Kind;
  EXPECT_EQ(part("bytes=0-4", 10).part, (ByteRange{0, 5}));
  EXPECT_EQ(part("bytes=5-", 10).part, (ByteRange{5, 5}));
  EXPECT_EQ(part("bytes=5-99", 10).part, (ByteRange{5, 5}));
  EXPECT_EQ(part("bytes=-3", 10).part, (ByteRange{7, 3}));
  EXPECT_EQ(part("bytes=-99", 10).part, (ByteRange{0, 10}));
  EXPECT_EQ(part("Bytes=9-9", 10).part, (ByteRange{9, 1}));
  EXPECT_EQ(part("bytes=0-99999999999999999999999", 10).part, (ByteRange{0, 10}));
  for (const auto field : {"bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999-"}) {
    EXPECT_EQ(part(field, 10).kind, Kind::kUnsatisfiable) << field;
  }
  EXPECT_EQ(part("bytes=0-", 0).kind, Kind::kUnsatisfiable);
  for (const auto field : {"bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,3-4",
                           "lines=0-1", "bytes 0-1", "bytes=+1-2", "bytes=1--2", ""}) {
    EXPECT_EQ(part(field, 10).kind, Kind::kWhole) << field;
  }
}

TEST(EntityTags, CompareWeaklyForIfNoneMatchAndStronglyForIfRange) {
  EXPECT_TRUE(NoneMatchNames("\"a\"", "\"a\""));
  EXPECT_TRUE(NoneMatchNames("\"x\", W/\"a\"", "\"a\""));
  EXPECT_TRUE(NoneMatchNames("\"x,y\", \"a\"", "W/\"a\""));
  EXPECT_TRUE(NoneMatchNames("*", "\"a\""));
  EXPECT_FALSE(NoneMatchNames("\"b\"", "\"a\""));
  EXPECT_FALSE(NoneMatchNames("a", "\"a\""));
  EXPECT_FALSE(NoneMatchNames("\"a", "\"a\""));
  EXPECT_TRUE(IfRangeHolds(std::nullopt, ""));
  EXPECT_TRUE(IfRangeHolds("\"a\"", "\"a\""));
  EXPECT_FALSE(IfRangeHolds("W/\"a\"", "W/\"a\""));
  EXPECT_FALSE(IfRangeHolds("\"b\"", "\"a\""));
  EXPECT_FALSE(IfRangeHolds("Wed, 01 Jan 2025 00:00:00 GMT", "\"a\""));
}

TEST(HeadScanner, FindsTheEndHoweverTheInputIsCut) {
  const std::string head = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
  HeadScanner scanner;
  for (size_t size = 1; size < head.size(); ++size) {
    EXPECT_EQ(scanner.Scan(head.substr(0, size)), HeadScanner::State::kIncomplete) << size;
  }
  EXPECT_EQ(scanner.Scan(head + "more"), HeadScanner::State::kComplete);
  EXPECT_EQ(scanner.head_bytes(), head.size());
  scanner.Reset();
  EXPECT_EQ(scanner.Scan("GET / HTTP/1.1\nHost: x\n\n"), HeadScanner::State::kMalformed);
}

TEST(FieldsAreLegal, KeepsAnswersInOnePiece) {
  EXPECT_TRUE(FieldsAreLegal({{"X-Name", "any \t value é"}}));
  EXPECT_FALSE(FieldsAreLegal({{"X", "a\r\nSet-Cookie: b"}}));
  EXPECT_FALSE(FieldsAreLegal({{"X Y", "a"}}));
  EXPECT_FALSE(FieldsAreLegal({{"", "a"}}));
  EXPECT_FALSE(FieldsAreLegal({{"content-length", "5"}}));
}

std::string RouteOf(const Router& router, std::string_view method, std::string_view path) {
  const auto target = ParseTarget(path);
  const auto match = router.Find(method, target->segments);
  if (!match) return "none";
  std::string text;
  for (const auto& part : match->route->parts) text += "/" + part.text;
  for (const auto& [name, value] : match->parameters.pairs()) text += " " + name + "=" + value;
  return text;
}

TEST(Router, PrefersTheMostSpecificRoute) {
  const Handler nothing = [](const Request&, const ResponderPtr&) {};
  Router router;
  router.Add("GET", "/jobs/{id}/outputs/{path...}", nothing);
  router.Add("GET", "/jobs/{id}", nothing);
  router.Add("GET", "/jobs/mine", nothing);
  router.Add("POST", "/jobs/{id}/cancel", nothing);
  router.Add("GET", "/", nothing);
  EXPECT_EQ(RouteOf(router, "GET", "/jobs/mine"), "/jobs/mine");
  EXPECT_EQ(RouteOf(router, "GET", "/jobs/a%20b"), "/jobs/id id=a b");
  EXPECT_EQ(RouteOf(router, "HEAD", "/jobs/7"), "/jobs/id id=7");
  EXPECT_EQ(RouteOf(router, "GET", "/jobs/7/outputs/a/b.mp4"),
            "/jobs/id/outputs/path id=7 path=a/b.mp4");
  EXPECT_EQ(RouteOf(router, "GET", "/"), "/");
  for (const auto path : {"/jobs/7/outputs", "/jobs/7/outputs/", "/jobs/7/outputs/a//b", "/jobs/",
                          "/jobs//", "//jobs/7", "/jobs/7/", "/none"}) {
    EXPECT_EQ(RouteOf(router, "GET", path), "none") << path;
  }
  EXPECT_EQ(router.AllowedMethods({"jobs", "7", "cancel"}), "OPTIONS, POST");
  EXPECT_EQ(router.AllowedMethods({"jobs", "7"}), "GET, HEAD, OPTIONS");
  EXPECT_EQ(router.AllowedMethods({"none"}), "");
}

TEST(Router, RefusesPatternsThatCannotMeanOneThing) {
  const Handler nothing = [](const Request&, const ResponderPtr&) {};
  Router router;
  router.Add("GET", "/a/{x}", nothing);
  EXPECT_THROW(router.Add("GET", "/a/{y}", nothing), std::invalid_argument);
  EXPECT_THROW(router.Add("GET", "a", nothing), std::invalid_argument);
  EXPECT_THROW(router.Add("GET", "/{}", nothing), std::invalid_argument);
  EXPECT_THROW(router.Add("GET", "/{a", nothing), std::invalid_argument);
  EXPECT_THROW(router.Add("GET", "/{a...}/b", nothing), std::invalid_argument);
}

}  // namespace
}  // namespace millrace::http
