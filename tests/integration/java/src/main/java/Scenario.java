import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import io.socket.emitter.Emitter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.json.JSONArray;
import org.json.JSONObject;

/**
 * Runs the scenario of the integration tests with the Java client: Scenario URL TRANSPORTS
 *
 * TRANSPORTS is default, polling or websocket. What it writes is described in lib/client_process.mjs.
 */
public final class Scenario {
    // The same values as in lib/values.mjs.
    private static final String DIFFICULT_TEXT =
        "q\"\\/ \0\u0001\u001e\u007f \u2028\u2029 \u00e4\u00df \u4e2d\u6587 \ud83d\ude80 </script> 2[\"x\"]\n\t";
    private static final String LARGE_TEXT = "a\u00e9\u4e2d\ud83d\ude80".repeat(10000);

    private interface Body {
        void run() throws Exception;
    }

    private final String url;
    private final String[] transports;
    private final String lastTransport;
    private final BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private Socket socket;
    private final AtomicInteger connects = new AtomicInteger();
    private final AtomicInteger disconnects = new AtomicInteger();

    private Scenario(String url, String transportSet) {
        this.url = url;
        transports = transportSet.equals("default") ? null : new String[] {transportSet};
        lastTransport = transportSet.equals("polling") ? "polling" : "websocket";
    }

    private static synchronized void say(String line) {
        byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }

    private static boolean step(String name, Body body) {
        try {
            body.run();
            say("ok " + name);
            return true;
        } catch (Exception | AssertionError error) {
            say("FAIL " + name + "\t" + error.toString().replace('\n', ' ').replace('\t', ' '));
            return false;
        }
    }

    private static void truth(boolean condition, String what) {
        if (!condition) throw new AssertionError(what);
    }

    private static void same(Object got, Object want) {
        String a = String.valueOf(got);
        String b = String.valueOf(want);
        if (!a.equals(b)) {
            throw new AssertionError("got " + a.substring(0, Math.min(300, a.length()))
                + ", want " + b.substring(0, Math.min(300, b.length())));
        }
    }

    private static void until(int ms, BooleanSupplier condition, String what) throws Exception {
        long end = System.nanoTime() + ms * 1_000_000L;
        while (!condition.getAsBoolean()) {
            truth(System.nanoTime() < end, what + ": not within " + ms + " ms");
            Thread.sleep(10);
        }
    }

    private static byte[] bytes(int size, int seed) {
        byte[] out = new byte[size];
        for (int i = 0; i < size; i++) out[i] = (byte) (i * 7 + seed);
        return out;
    }

    private static BlockingQueue<Object[]> collect(Socket from, String event) {
        BlockingQueue<Object[]> queue = new LinkedBlockingQueue<>();
        from.off(event);
        from.on(event, queue::add);
        return queue;
    }

    private static Object[] take(BlockingQueue<Object[]> queue, String what) throws Exception {
        Object[] got = queue.poll(5, TimeUnit.SECONDS);
        truth(got != null, what + ": nothing within 5 s");
        return got;
    }

    private static Object[] ask(Socket on, String event, Object... args) throws Exception {
        BlockingQueue<Object[]> queue = new LinkedBlockingQueue<>();
        Object[] all = Arrays.copyOf(args, args.length + 1);
        all[args.length] = (Ack) queue::add;
        on.emit(event, all);
        return take(queue, "answer to " + event);
    }

    private Socket open(String namespace) {
        IO.Options options = new IO.Options();
        options.forceNew = true;
        options.reconnectionDelay = 600;
        options.randomizationFactor = 0;
        if (transports != null) options.transports = transports;
        options.auth = Collections.singletonMap("token", "t-1");
        return IO.socket(URI.create(url + namespace), options);
    }

    private void connect() throws Exception {
        socket = open("");
        socket.on(Socket.EVENT_CONNECT, args -> connects.incrementAndGet());
        socket.on(Socket.EVENT_DISCONNECT, args -> disconnects.incrementAndGet());
        int before = connects.get();
        socket.connect();
        until(5000, () -> connects.get() > before, "connection");
        truth(socket.id().length() == 20, "length of the id");
    }

    private void operator(JSONArray events) throws Exception {
        say("@emit " + new JSONObject().put("to", socket.id()).put("events", events));
        input.readLine();
    }

    private static JSONArray ticks(int count) throws Exception {
        JSONArray events = new JSONArray();
        for (int i = 0; i < count; i++) events.put(new JSONArray().put("tick").put(i));
        return events;
    }

    private static void thousandInOrder(BlockingQueue<Object[]> queue) throws Exception {
        for (int i = 0; i < 1000; i++) same(take(queue, "event " + i)[0], i);
    }

    private void refused(String namespace, String message, Integer code) throws Exception {
        Socket other = open(namespace);
        BlockingQueue<Object[]> errors = collect(other, Socket.EVENT_CONNECT_ERROR);
        other.connect();
        JSONObject error = (JSONObject) take(errors, "refusal")[0];
        same(error.getString("message"), message);
        if (code != null) same(error.getJSONObject("data").getInt("code"), code);
        other.disconnect();
    }

    private void run() throws Exception {
        if (!step("connects with auth", this::connect)) return;
        step("difficult text comes back in an ack", () -> {
            Object[] got = ask(socket, "echo", DIFFICULT_TEXT, "x");
            same(got[0], DIFFICULT_TEXT);
            same(got[1], "x");
        });
        step("JSON of every kind comes back in an ack", () -> {
            JSONObject sent = new JSONObject("{\"empty\":{},\"list\":[],\"null\":null,\"yes\":true,\"no\":false,"
                + "\"zero\":0,\"negative\":-1.5,\"whole\":9007199254740991,\"nested\":[[[[{\"a\":[1,{\"b\":\"c\"}]}]]]]}");
            sent.put("small", -3.0e-7).put("slashes", "</script> \u2013 /");
            JSONObject got = (JSONObject) ask(socket, "echo", sent)[0];
            same(got.getDouble("small"), -3.0e-7);
            same(got.getString("slashes"), "</script> \u2013 /");
            same(got.getLong("whole"), 9007199254740991L);
            same(got.getJSONArray("nested"), sent.getJSONArray("nested"));
            truth(got.isNull("null") && got.has("null") && got.getBoolean("yes") && !got.getBoolean("no"), "literals");
            same(got.length(), sent.length());
        });
        step("100 KB of text come back in an ack", () -> same(ask(socket, "echo", LARGE_TEXT)[0], LARGE_TEXT));
        step("the server knows who it is", () -> {
            JSONObject who = (JSONObject) ask(socket, "whoami")[0];
            long end = System.nanoTime() + 3_000_000_000L;
            while (!who.getString("transport").equals(lastTransport) && System.nanoTime() < end) {
                Thread.sleep(50);
                who = (JSONObject) ask(socket, "whoami")[0];
            }
            same(who.getJSONObject("auth").getString("token"), "t-1");
            same(who.getString("namespace"), "/");
            same(who.getString("sid"), socket.id());
            same(who.getString("transport"), lastTransport);
        });
        step("an event comes back", () -> {
            BlockingQueue<Object[]> came = collect(socket, "echo-event");
            socket.emit("echo-event", 1, "two", new JSONObject().put("three", 3));
            Object[] got = take(came, "event");
            same(got[0], 1);
            same(got[1], "two");
            same(got[2], "{\"three\":3}");
        });
        step("an event has the arguments that it was sent with, and no more", () -> {
            BlockingQueue<Object[]> came = collect(socket, "exactly");
            operator(new JSONArray().put(new JSONArray().put("exactly").put(1).put("two")));
            same(take(came, "event").length, 2);
        });
        step("binary comes back in an ack", () -> {
            Object[] got = ask(socket, "echo", bytes(1000, 0), new JSONObject().put("in", bytes(5, 9)), bytes(0, 0));
            truth(Arrays.equals((byte[]) got[0], bytes(1000, 0)), "first attachment");
            truth(Arrays.equals((byte[]) ((JSONObject) got[1]).get("in"), bytes(5, 9)), "second attachment");
            truth(((byte[]) got[2]).length == 0, "empty attachment");
        });
        step("binary comes back in an event", () -> {
            BlockingQueue<Object[]> came = collect(socket, "echo-event");
            socket.emit("echo-event", bytes(100000, 0), "text", bytes(3, 1));
            Object[] got = take(came, "event");
            truth(Arrays.equals((byte[]) got[0], bytes(100000, 0)), "first attachment");
            same(got[1], "text");
            truth(Arrays.equals((byte[]) got[2], bytes(3, 1)), "second attachment");
        });
        step("answers a question of the server", () -> {
            BlockingQueue<Object[]> answered = collect(socket, "answered");
            socket.off("question");
            socket.on("question", args -> ((Ack) args[args.length - 1]).call(args[0] + "!", args[1]));
            socket.emit("ask-me", "why", new JSONObject().put("deep", true));
            Object[] got = take(answered, "answer");
            same(got[0], "why!");
            same(got[1], "{\"deep\":true}");
        });
        step("answers a question of the server with binary", () -> {
            BlockingQueue<Object[]> answered = collect(socket, "answered");
            socket.off("question");
            socket.on("question", args -> ((Ack) args[args.length - 1]).call(args[0]));
            socket.emit("ask-me", (Object) bytes(300, 0));
            truth(Arrays.equals((byte[]) take(answered, "answer")[0], bytes(300, 0)), "bytes");
        });
        step("joins a second namespace on the same connection and leaves it", () -> {
            IO.Options options = new IO.Options();
            options.auth = Collections.singletonMap("token", "t-1");
            Socket other = socket.io().socket("/custom", options);
            BlockingQueue<Object[]> joined = collect(other, Socket.EVENT_CONNECT);
            other.connect();
            take(joined, "connection");
            JSONObject who = (JSONObject) ask(other, "whoami")[0];
            same(who.getString("namespace"), "/custom");
            same(who.getString("sid"), other.id());
            same(ask(other, "echo", "there")[0], "there");
            other.disconnect();
            same(ask(socket, "echo", "still here")[0], "still here");
        });
        step("is refused with message and data", () -> refused("/forbidden", "nope", 42));
        step("is told of an invalid namespace", () -> refused("/unheard-of", "Invalid namespace", null));
        step("gets 1,000 events in order", () -> {
            BlockingQueue<Object[]> came = collect(socket, "tick");
            operator(ticks(1000));
            thousandInOrder(came);
        });
        step("sends 1,000 events in order", () -> {
            BlockingQueue<Object[]> came = collect(socket, "echo-event");
            for (int i = 0; i < 1000; i++) socket.emit("echo-event", i);
            thousandInOrder(came);
        });
        step("idles longer than the ping timeout", () -> {
            int before = disconnects.get();
            Thread.sleep(2600);
            same(disconnects.get(), before);
            same(ask(socket, "echo", "awake")[0], "awake");
        });
        if (!step("comes back by itself when only its transport is dropped", () -> {
            int before = connects.get();
            socket.emit("drop");
            until(1600, () -> connects.get() > before, "return");
            same(ask(socket, "echo", "back")[0], "back");
        })) {
            socket.disconnect();
            connect();
        }
        step("is kicked, stays away, and may connect anew", () -> {
            int connectsBefore = connects.get();
            int before = disconnects.get();
            socket.emit("kick");
            until(3000, () -> disconnects.get() > before, "disconnection");
            Thread.sleep(800);
            same(connects.get(), connectsBefore);
            connect();
            same(ask(socket, "echo", "anew")[0], "anew");
        });
        step("leaves", () -> socket.disconnect());
    }

    public static void main(String[] args) throws Exception {
        new Scenario(args[0], args[1]).run();
        Thread.sleep(200);
        say("end");
        System.exit(0);
    }
}
