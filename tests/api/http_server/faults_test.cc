// Faults that were measured in Pistache 0.0.5 as it is, and must not happen here.

#include <sys/resource.h>

#include <atomic>
#include <ctime>
#include <fstream>
#include <random>

#include "core/base/error.h"
#include "tests/api/http_server/fixture.h"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;

class HttpFaults : public HttpServerTest {};

// Answers in the background, a little out of step with the requests.
class LateAnswers {
 public:
  explicit LateAnswers(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~LateAnswers() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void Add(ResponderPtr responder) {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(responder));
    changed_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const ResponderPtr responder = std::move(waiting_.back());
      waiting_.pop_back();
      lock.unlock();
      responder->Send({.body = std::string(*responder->request().query.Find("t"))});
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ResponderPtr> waiting_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;  // last: they use what is above
};

struct Tally {
  std::atomic<uint64_t> finished{0};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> cut{0};
};

// One client after the other, every second of which leaves without waiting for its answer, so that
// socket numbers are reused while answers to their former owners are still being made. The others
// ask a few times; every answer must hold the token of its own request.
void AskAndAbandon(uint16_t port, int seed, uint64_t wanted, Tally& tally) {
  std::minstd_rand random(static_cast<unsigned>(seed));
  for (uint64_t n = 0; tally.finished < wanted; ++n) {
    const bool late = random() % 2 == 0;
    const auto request = [&](uint64_t i) {
      return std::string("GET /") + (late ? "late" : "now") + "?t=" + std::to_string(seed) + "-" +
             std::to_string(n) + "-" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
    };
    RawHttpClient client(port);
    if (n % 2 == 0) {
      client.Send(request(0));
      if (n % 4 == 0) {
        client.Reset();
      } else {
        client.Close();
      }
      continue;
    }
    for (uint64_t i = 0; i < 20; ++i) {
      const auto reply = client.Exchange(request(i));
      if (!reply.complete) {
        ++tally.cut;
        break;
      }
      const auto token = std::to_string(seed) + "-" + std::to_string(n) + "-" + std::to_string(i);
      if (reply.body != token) ++tally.wrong;
      ++tally.finished;
    }
  }
}

TEST_F(HttpFaults, NeverSendsAnAnswerToAnotherClient) {
  constexpr uint64_t kWanted = 50'000;
  LateAnswers late(2);
  router_.Add("GET", "/now", [](const Request& request, const ResponderPtr& responder) {
    responder->Send({.body = std::string(*request.query.Find("t"))});
  });
  router_.Add("GET", "/late",
              [&](const Request&, ResponderPtr responder) { late.Add(std::move(responder)); });
  Start();
  Tally tally;
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] { AskAndAbandon(server_->port(), i, kWanted, tally); });
  }
  for (auto& client : clients) client.join();
  EXPECT_GE(tally.finished, kWanted);
  EXPECT_EQ(tally.wrong, 0u);
  EXPECT_EQ(tally.cut, 0u);
  server_->Stop(5s);
}

// Pistache's decoder loops for ever when a packet ends between a chunk's CR and LF, or between its
// data and its CR; two such requests stop a server with two threads for good.
TEST_F(HttpFaults, SurvivesChunksThatAreCutAnywhere) {
  Start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string body = "5\r\nhello\r\n0\r\n\r\n";
  std::vector<RawHttpClient> clients;
  for (size_t cut = 0; cut < body.size(); ++cut) {
    auto& client = clients.emplace_back(Connect());
    client.Send(head + body.substr(0, cut));
  }
  // All first halves have been read once another connection of each worker is served.
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  }
  for (size_t cut = 0; cut < body.size(); ++cut) {
    clients[cut].Send(body.substr(cut));
    EXPECT_EQ(clients[cut].ReadReply().body, "hello") << cut;
  }
}

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST_F(HttpFaults, AStalledReaderCostsNothingAndBlocksNobody) {
  constexpr size_t kBytes = 50 << 20;
  router_.Add("GET", "/large", [](const Request&, const ResponderPtr& responder) {
    responder->Send({.body = std::string(kBytes, 'x')});
  });
  options_.limits.write_stall_timeout = 1s;
  Start();
  std::vector<RawHttpClient> stalled;
  for (int i = 0; i < 4; ++i) {
    stalled.emplace_back(server_->port(), 4096);
    stalled.back().Send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(stalled.back().Skip(1));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
  }
  // A worker that spins would use a whole core for the second until the stall deadline closes all
  // four.
  const double cpu_before = CpuSeconds();
  EXPECT_TRUE(Eventually([&] { return server_->open_connections() == 0; }));
  EXPECT_LT(CpuSeconds() - cpu_before, 0.5);
}

TEST_F(HttpFaults, ASlowReaderGetsAllOfALargeAnswer) {
  constexpr size_t kBytes = 20 << 20;
  router_.Add("GET", "/large", [](const Request&, const ResponderPtr& responder) {
    responder->Send({.body = std::string(kBytes, 'x')});
  });
  Start();
  RawHttpClient client(server_->port(), 16 << 10);
  EXPECT_EQ(client.Exchange("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").body.size(), kBytes);
  EXPECT_EQ(client.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

TEST_F(HttpFaults, AnswersAClientThatHasEndedItsSendingSide) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  client.CloseWrite();
  const auto responder = held_.Take();
  ASSERT_TRUE(responder);
  // The server has seen the end when a request that was sent after it is served; the answer comes
  // later still.
  EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_TRUE(responder->Send({.body = "late"}));
  EXPECT_EQ(client.ReadReply().body, "late");
  EXPECT_EQ(client.ReadReply().body, "hello");
  EXPECT_TRUE(client.AtEnd());
  EXPECT_FALSE(client.WasReset());
}

TEST_F(HttpFaults, DropsNoAnswerWhenItStops) {
  Start();
  std::vector<RawHttpClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(Connect());
    clients.back().Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  auto idle = Connect();
  EXPECT_EQ(idle.Exchange("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  auto uploading = Connect();
  uploading.Send("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
  ASSERT_TRUE(Eventually([&] {
    std::lock_guard lock(log_->mutex);
    return held_.count() == 20 && log_->data == "abc";
  }));

  std::thread stopper([&] { server_->Stop(20s); });
  EXPECT_TRUE(idle.AtEnd());  // it has begun to stop
  EXPECT_THROW(Connect(), std::runtime_error);
  EXPECT_EQ(uploading.Exchange("def").status, 201);
  for (auto& client : clients) {
    held_.Take()->Send({.body = std::string(1 << 20, 'x')});
    static_cast<void>(client);
  }
  for (auto& client : clients) {
    const auto reply = client.ReadReply();
    EXPECT_TRUE(reply.complete);
    EXPECT_EQ(reply.body.size(), 1u << 20);
    EXPECT_EQ(reply.Header("Connection"), "close");
    client.Close();
  }
  uploading.Close();
  stopper.join();
  EXPECT_EQ(server_->open_connections(), 0u);
}

TEST_F(HttpFaults, EndsWhatIsLeftAfterTheGrace) {
  Start();
  auto client = Connect();
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto responder = held_.Take();
  ASSERT_TRUE(responder);
  Event gone;
  responder->OnDisconnect([&] { gone.Set(); });
  server_->Stop(50ms);
  EXPECT_TRUE(gone.Wait());
  EXPECT_FALSE(responder->Send({.body = "late"}));
  EXPECT_EQ(client.ReadReply().status, 0);
}

TEST_F(HttpFaults, FreesItsPortWhenItStops) {
  Start();
  options_.port = server_->port();
  server_->Stop(1s);
  Router again;
  again.Add("GET", "/again", Answering("again"));
  Server second(options_, std::move(again));
  second.Start();
  EXPECT_EQ(RawHttpClient(second.port()).Exchange("GET /again HTTP/1.1\r\nHost: x\r\n\r\n").body,
            "again");
}

TEST_F(HttpFaults, SaysSoWhenItsAddressIsTaken) {
  Start();
  ServerOptions same = options_;
  same.port = server_->port();
  Server second(same, Router());
  EXPECT_THROW(second.Start(), Error);
}

TEST_F(HttpFaults, ListensOnBothFamilies) {
  options_.address = "::";
  try {
    Start();
  } catch (const Error& error) {
    GTEST_SKIP() << "this machine has no IPv6: " << error.what();
  }
  EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST_F(HttpFaults, AbortedDownloadsLeakNoDescriptor) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("millrace-http-large-" + std::to_string(::getpid()));
  std::ofstream(path).close();
  std::filesystem::resize_file(path, 64 << 20);
  router_.Add("GET", "/file", [path](const Request&, const ResponderPtr& responder) {
    responder->SendFile({.file = OpenForSending(path)});
  });
  Start();
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 20; ++i) {
    RawHttpClient client(server_->port(), 4096);
    client.Send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(client.Skip(1000));
    if (i % 2 == 0) client.Reset();
  }
  EXPECT_TRUE(Eventually([&] { return server_->open_connections() == 0; }));
  EXPECT_EQ(OpenDescriptors(), before);
  std::filesystem::remove(path);
}

TEST_F(HttpFaults, RandomBytesNeitherStopNorLeak) {
  options_.limits.header_timeout = 200ms;
  options_.limits.linger_timeout = 50ms;
  Start();
  const std::string seed =
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  std::minstd_rand random(7);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = seed + seed;
    for (unsigned n = random() % 4 + 1; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    auto client = Connect();
    client.Send(bytes);
    if (i % 3 == 0) client.Reset();
  }
  EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body, "hello");
  EXPECT_TRUE(Eventually([&] { return server_->open_connections() == 0; }));
}

}  // namespace
}  // namespace millrace::http
