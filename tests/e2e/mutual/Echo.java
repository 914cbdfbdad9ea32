import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * A TLS server or client of Java's JSSE: one request and one answer a connection.
 *
 * <p>{@code server HOST PORT KEYSTORE ask|-}, {@code client HOST PORT TLSv1.2|TLSv1.3 KEYSTORE|-}
 */
final class Echo {
    private static final char[] PASSWORD = "word".toCharArray();

    public static void main(String[] words) throws Exception {
        InetAddress host = InetAddress.getByName(words[1]);
        int port = Integer.parseInt(words[2]);
        if (words[0].equals("server")) {
            serve(host, port, context(words[3]), words[4].equals("ask"));
        }
        SSLContext context = context(words[4]);
        // The second connection resumes the session of the first.
        for (int i = 0; i < 2; i++) {
            ask(host, port, context, words[3]);
        }
    }

    private static void serve(InetAddress host, int port, SSLContext context, boolean asks)
            throws Exception {
        SSLServerSocket listener =
                (SSLServerSocket) context.getServerSocketFactory().createServerSocket(port, 7, host);
        listener.setWantClientAuth(asks);
        while (true) {
            try (SSLSocket socket = (SSLSocket) listener.accept()) {
                socket.setSoTimeout(7_000);
                readLine(socket.getInputStream());
                socket.getOutputStream().write("answer\n".getBytes());
            } catch (java.io.IOException error) {
                System.err.println(error);
            }
        }
    }

    private static void ask(InetAddress host, int port, SSLContext context, String version)
            throws Exception {
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(host, port)) {
            socket.setEnabledProtocols(new String[] {version});
            socket.getOutputStream().write("GET / HTTP/1.0\n".getBytes());
            socket.getInputStream().readAllBytes();
        }
    }

    private static void readLine(InputStream stream) throws Exception {
        int next = stream.read();
        while (next != '\n' && next != -1) {
            next = stream.read();
        }
    }

    private static SSLContext context(String store) throws Exception {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(store.equals("-") ? null : keys(store), new TrustManager[] {new Trust()}, null);
        return context;
    }

    private static KeyManager[] keys(String path) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream stream = Files.newInputStream(Path.of(path))) {
            store.load(stream, PASSWORD);
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
        factory.init(store, PASSWORD);
        return factory.getKeyManagers();
    }

    /** Believes everybody: who is right is not what is measured. */
    private static final class Trust implements X509TrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String kind) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String kind) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
