import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;

/**
 * Class B: leads that changed, written with the common statement, 2,000 at a time, every second, and at the end.
 *
 * A state store, because those are flushed when Kafka Streams closes them. It commits without flushing: after a kill
 * PostgreSQL lags behind the offsets, and Counting writes all leads again.
 */
final class SinkStore implements StateStore {
    private static final int MOST = 2000;
    private static final String UPSERT =
            "INSERT INTO peers.lead (key, score, events, last_us) "
            + "SELECT * FROM unnest(?::text[], ?::float8[], ?::int[], ?::bigint[]) "
            + "ON CONFLICT (key) DO UPDATE SET score = excluded.score, events = excluded.events, "
            + "last_us = excluded.last_us";
    private final String url;
    private final Map<String, Lead> changed = new TreeMap<>();
    private Connection connection;

    SinkStore(String url) {
        this.url = url;
    }

    void put(String key, Lead lead) {
        changed.put(key, lead);
        if (changed.size() >= MOST) {
            flush();
        }
    }

    @Override
    public void flush() {
        if (changed.isEmpty()) {
            return;
        }
        try (PreparedStatement statement = connection.prepareStatement(UPSERT)) {
            statement.setArray(1, connection.createArrayOf("text", changed.keySet().toArray()));
            statement.setArray(2, connection.createArrayOf("float8", column(Lead::score)));
            statement.setArray(3, connection.createArrayOf("int8", column(Lead::count)));
            statement.setArray(4, connection.createArrayOf("int8", column(Lead::lastUs)));
            statement.executeUpdate();
            changed.clear();
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
    }

    private Object[] column(java.util.function.Function<Lead, Object> of) {
        return changed.values().stream().map(of).toArray();
    }

    @Override
    public void init(StateStoreContext context, StateStore root) {
        try {
            connection = DriverManager.getConnection(url);
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
        context.register(root, (key, value) -> { });
    }

    @Override
    public void close() {
        try {
            connection.close();
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public String name() {
        return "sink";
    }

    @Override
    public boolean persistent() {
        return false;
    }

    @Override
    public boolean isOpen() {
        return connection != null;
    }
}
