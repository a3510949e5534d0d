// franz-go's exactly-once flows: clients FLOW. The contract is described in scripts/clients/run.ts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type saw map[string]any

var (
	bootstrap  = os.Getenv("KAFKA_BOOTSTRAP")
	scope      = os.Getenv("SCOPE")
	in         = scope + "-in"
	out        = scope + "-out"
	group      = scope + "-group"
	id         = scope + "-id"
	records, _ = strconv.Atoi(os.Getenv("RECORDS"))
	ctx        = context.Background()
)

const perTransaction = 50

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(bootstrap, ",")...)}, options...)...)
	must(err)
	return c
}

func transactional(timeout time.Duration) *kgo.Client {
	return client(kgo.TransactionalID(id), kgo.TransactionTimeout(timeout))
}

// What the library says of an action: OK, or the error's name.
func outcome(err error) string {
	if err == nil {
		return "OK"
	}
	if known := (*kerr.Error)(nil); errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}

// The ends of the output's partitions as a reader of this isolation level sees them.
func ends(c *kgo.Client, isolation int8) map[int32]int64 {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID, request.IsolationLevel = -1, isolation
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = out
	for partition := int32(0); partition < 3; partition++ {
		asked := kmsg.NewListOffsetsRequestTopicPartition()
		asked.Partition, asked.Timestamp = partition, -1
		topic.Partitions = append(topic.Partitions, asked)
	}
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, c)
	must(err)
	found := map[int32]int64{}
	for _, answered := range response.Topics[0].Partitions {
		must(kerr.ErrorForCode(answered.ErrorCode))
		found[answered.Partition] = answered.Offset
	}
	return found
}

// All values of the output, to its end. Control records are read as well, so that the end can be told.
func read(isolation int8) []string {
	level := kgo.ReadCommitted()
	if isolation == 0 {
		level = kgo.ReadUncommitted()
	}
	offsets := map[int32]kgo.Offset{0: kgo.NewOffset().AtStart(), 1: kgo.NewOffset().AtStart(), 2: kgo.NewOffset().AtStart()}
	reader := client(
		kgo.FetchIsolationLevel(level),
		kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{out: offsets}),
	)
	defer reader.Close()
	left := map[int32]int64{}
	for partition, end := range ends(reader, isolation) {
		if end > 0 {
			left[partition] = end
		}
	}
	values := []string{}
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	sort.Strings(values)
	return values
}

func numbered(prefix string, count int) []string {
	values := make([]string, count)
	for i := range values {
		values[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return values
}

func send(c *kgo.Client, values ...string) {
	for _, value := range values {
		c.Produce(ctx, &kgo.Record{Topic: out, Key: []byte("key-" + value), Value: []byte(value)}, func(_ *kgo.Record, err error) { must(err) })
	}
	must(c.Flush(ctx))
}

func commit(c *kgo.Client, values ...string) {
	must(c.BeginTransaction())
	send(c, values...)
	must(c.EndTransaction(ctx, kgo.TryCommit))
}

func produce() saw {
	c := client()
	defer c.Close()
	var acknowledged atomic.Int32
	for _, value := range numbered("p", 300) {
		c.Produce(ctx, &kgo.Record{Topic: out, Key: []byte("key-" + value), Value: []byte(value)}, func(_ *kgo.Record, err error) {
			if err == nil {
				acknowledged.Add(1)
			}
		})
	}
	must(c.Flush(ctx))
	values := read(1)
	distinct := map[string]bool{}
	for _, value := range values {
		distinct[value] = true
	}
	return saw{"acknowledged": acknowledged.Load(), "read": len(values), "distinct": len(distinct)}
}

func transactions() saw {
	c := transactional(time.Minute)
	defer c.Close()
	for _, prefix := range []string{"a", "b", "c"} {
		must(c.BeginTransaction())
		send(c, numbered(prefix, 10)...)
		must(c.EndTransaction(ctx, kgo.TransactionEndTry(prefix != "b")))
	}
	visible, letters := read(1), ""
	for _, value := range visible {
		if !strings.Contains(letters, value[:1]) {
			letters += value[:1]
		}
	}
	return saw{"committed": letters, "visible": len(visible), "written": len(read(0))}
}

func session(options ...kgo.Opt) *kgo.GroupTransactSession {
	s, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.TransactionalID(id),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(in),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RequireStableFetchOffsets(),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond),
	}, options...)...)
	must(err)
	return s
}

func lostConnection(err error) bool {
	var network net.Error
	return kerr.IsRetriable(err) || errors.As(err, &network) || errors.Is(err, io.EOF)
}

// Every third transaction aborts, and its records are read again.
func copyAll(options ...kgo.Opt) saw {
	s := session(options...)
	copied, commits, aborts, attempts := 0, 0, 0, 0
	for copied < records {
		fetches := s.PollRecords(ctx, perTransaction)
		// A lost connection is told of, and dialled again.
		if err := fetches.Err(); err != nil && !lostConnection(err) {
			must(err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		attempts++
		must(s.Begin())
		fetches.EachRecord(func(r *kgo.Record) {
			value := []byte(strings.ToUpper(string(r.Value)))
			s.Produce(ctx, &kgo.Record{Topic: out, Key: r.Key, Value: value}, func(_ *kgo.Record, err error) { must(err) })
		})
		// An abort would otherwise drop what is not sent yet, and say so to the callbacks.
		must(s.Client().Flush(ctx))
		committed, err := s.End(ctx, kgo.TransactionEndTry(attempts%3 != 0))
		must(err)
		if committed {
			copied += fetches.NumRecords()
			commits++
		} else {
			aborts++
		}
	}
	s.Close()
	return saw{"copied": copied, "aborted": aborts > 0, "committed": commits > 0}
}

func fence() saw {
	old := transactional(time.Minute)
	must(old.BeginTransaction())
	send(old, "old")
	fresh := transactional(time.Minute)
	// The id is taken over by the first transaction of the new instance.
	must(fresh.BeginTransaction())
	send(fresh, "new")
	zombie := outcome(old.EndTransaction(ctx, kgo.TryCommit))
	must(fresh.EndTransaction(ctx, kgo.TryCommit))
	return saw{"zombie": zombie, "visible": read(1)}
}

func timeout() saw {
	slow := transactional(time.Second)
	must(slow.BeginTransaction())
	send(slow, "slow")
	// The record and the marker that aborts it: a committed reader gets past both once the coordinator has decided.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		stable := int64(0)
		for _, end := range ends(slow, 1) {
			stable += end
		}
		if stable == 2 {
			break
		}
		if time.Now().After(deadline) {
			must(errors.New("not aborted within 30 s"))
		}
	}
	late := outcome(slow.EndTransaction(ctx, kgo.TryCommit))
	again := transactional(time.Minute)
	commit(again, "again")
	return saw{"late": late, "visible": read(1)}
}

func crash() saw {
	c := transactional(time.Minute)
	must(c.BeginTransaction())
	send(c, "lost")
	return saw{"sent": 1}
}

func restart() saw {
	commit(transactional(time.Minute), "kept")
	return saw{"visible": read(1)}
}

func committed(c *kgo.Client) []int64 {
	request := kmsg.NewPtrOffsetFetchRequest()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = group
	request.Groups, request.RequireStable = append(request.Groups, asked), true
	response, err := request.RequestWith(ctx, c)
	must(err)
	found := []int64{}
	for _, topic := range response.Groups[0].Topics {
		for _, partition := range topic.Partitions {
			if partition.Offset >= 0 {
				found = append(found, partition.Offset)
			}
		}
	}
	return found
}

// A session ends its transaction after another member has joined in the midst of it: it must not be committed.
func stale(options ...kgo.Opt) saw {
	first := session(options...)
	fetches := first.PollRecords(ctx, 10)
	must(fetches.Err())
	must(first.Begin())
	first.Produce(ctx, &kgo.Record{Topic: out, Value: []byte("old")}, func(_ *kgo.Record, err error) { must(err) })
	must(first.Client().Flush(ctx))
	assigned := make(chan struct{}, 1)
	second := client(append([]kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(in),
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			if len(partitions) > 0 {
				select {
				case assigned <- struct{}{}:
				default:
				}
			}
		}),
	}, options...)...)
	polling, stop := context.WithCancel(ctx)
	go func() {
		for polling.Err() == nil {
			second.PollFetches(polling)
		}
	}()
	select {
	case <-assigned:
	case <-time.After(30 * time.Second):
		must(errors.New("no rebalance within 30 s"))
	}
	ended, err := first.End(ctx, kgo.TryCommit)
	found := committed(first.Client())
	stop()
	second.Close()
	first.Close()
	return saw{"error": outcome(err), "ended": ended, "committed": found, "visible": read(1)}
}

// Writes the records as fast as it can: 16 bytes of key, 100 of value, nothing compressed.
func load() saw {
	c := client(kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000))
	defer c.Close()
	must(c.Ping(ctx))
	padding := strings.Repeat(".", 88)
	started := time.Now()
	for i := range records {
		c.Produce(ctx, &kgo.Record{
			Topic: out,
			Key:   fmt.Appendf(nil, "k%015d", i),
			Value: fmt.Appendf(nil, "%012d%s", i, padding),
		}, func(_ *kgo.Record, err error) { must(err) })
	}
	must(c.Flush(ctx))
	return saw{"records": records, "elapsedMs": time.Since(started).Milliseconds()}
}

// Reads them all again.
func drain() saw {
	c := client(kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	started, read := time.Now(), 0
	for read < records {
		fetches := c.PollFetches(ctx)
		must(fetches.Err())
		read += fetches.NumRecords()
	}
	return saw{"records": read, "elapsedMs": time.Since(started).Milliseconds()}
}

func main() {
	flows := map[string]func() saw{
		"load":         load,
		"drain":        drain,
		"produce":      produce,
		"transactions": transactions,
		"copy":         func() saw { return copyAll() },
		"copy848":      func() saw { return copyAll(kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())) },
		"fence":        fence,
		"timeout":      timeout,
		"crash":        crash,
		"restart":      restart,
		"stale":        func() saw { return stale() },
		"stale848":     func() saw { return stale(kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())) },
	}
	line, err := json.Marshal(flows[os.Args[1]]())
	must(err)
	fmt.Println(string(line))
}
