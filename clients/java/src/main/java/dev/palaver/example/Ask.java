package dev.palaver.example;

import com.google.rpc.ErrorInfo;
import dev.palaver.v1.ChatRequest;
import dev.palaver.v1.ChatServiceGrpc;
import dev.palaver.v1.ContentPart;
import dev.palaver.v1.Message;
import dev.palaver.v1.Role;
import dev.palaver.v1.StreamChatRequest;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * Asks one question over TLS and prints the answer as it comes.
 *
 * <pre>mvn -q compile exec:java -Dexec.args="localhost:8443 CA.pem 'What is the capital of France?'"</pre>
 *
 * <p>An API key, where the server asks for one, is read from the environment: PALAVER_API_KEY.
 */
public final class Ask {
  private Ask() {}

  public static void main(String[] arguments) throws IOException, InterruptedException {
    if (arguments.length != 3) {
      System.err.println("usage: ADDRESS CA_FILE QUESTION");
      System.exit(2);
    }
    var credentials = TlsChannelCredentials.newBuilder().trustManager(new File(arguments[1])).build();
    ManagedChannel connection = Grpc.newChannelBuilder(arguments[0], credentials).build();
    try {
      ask(withKey(connection, System.getenv("PALAVER_API_KEY")), arguments[2]);
    } catch (StatusRuntimeException error) {
      System.err.println(error.getStatus() + " " + reason(error));
      System.exit(1);
    } finally {
      connection.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static void ask(Channel channel, String question) {
    var message =
        Message.newBuilder()
            .setRole(Role.ROLE_USER)
            .addContent(ContentPart.newBuilder().setText(question));
    var request =
        StreamChatRequest.newBuilder().setChat(ChatRequest.newBuilder().addMessages(message)).build();
    // The deadline travels with the call: the engine stops when it is over.
    ChatServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(2, TimeUnit.MINUTES)
        .streamChat(request)
        .forEachRemaining(event -> System.out.print(event.getDelta().getText()));
    System.out.println();
  }

  private static Channel withKey(Channel channel, String key) {
    if (key == null || key.isEmpty()) {
      return channel;
    }
    var headers = new Metadata();
    headers.put(Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER), key);
    return ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  /** The machine-readable cause, which programs may switch on. */
  private static String reason(StatusRuntimeException error) throws IOException {
    var status = StatusProto.fromThrowable(error);
    if (status != null) {
      for (var detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      }
    }
    return "";
  }
}
