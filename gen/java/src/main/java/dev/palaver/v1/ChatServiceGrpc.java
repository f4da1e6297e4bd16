package dev.palaver.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Talks with a model.
 * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
 * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
 * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
 * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ChatServiceGrpc {

  private ChatServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "palaver.v1.ChatService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.ChatRequest,
      dev.palaver.v1.ChatResponse> getChatMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Chat",
      requestType = dev.palaver.v1.ChatRequest.class,
      responseType = dev.palaver.v1.ChatResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.ChatRequest,
      dev.palaver.v1.ChatResponse> getChatMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.ChatRequest, dev.palaver.v1.ChatResponse> getChatMethod;
    if ((getChatMethod = ChatServiceGrpc.getChatMethod) == null) {
      synchronized (ChatServiceGrpc.class) {
        if ((getChatMethod = ChatServiceGrpc.getChatMethod) == null) {
          ChatServiceGrpc.getChatMethod = getChatMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.ChatRequest, dev.palaver.v1.ChatResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Chat"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.ChatRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.ChatResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ChatServiceMethodDescriptorSupplier("Chat"))
              .build();
        }
      }
    }
    return getChatMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.StreamChatRequest,
      dev.palaver.v1.StreamChatResponse> getStreamChatMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "StreamChat",
      requestType = dev.palaver.v1.StreamChatRequest.class,
      responseType = dev.palaver.v1.StreamChatResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.StreamChatRequest,
      dev.palaver.v1.StreamChatResponse> getStreamChatMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.StreamChatRequest, dev.palaver.v1.StreamChatResponse> getStreamChatMethod;
    if ((getStreamChatMethod = ChatServiceGrpc.getStreamChatMethod) == null) {
      synchronized (ChatServiceGrpc.class) {
        if ((getStreamChatMethod = ChatServiceGrpc.getStreamChatMethod) == null) {
          ChatServiceGrpc.getStreamChatMethod = getStreamChatMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.StreamChatRequest, dev.palaver.v1.StreamChatResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "StreamChat"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.StreamChatRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.StreamChatResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ChatServiceMethodDescriptorSupplier("StreamChat"))
              .build();
        }
      }
    }
    return getStreamChatMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.CountTokensRequest,
      dev.palaver.v1.CountTokensResponse> getCountTokensMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CountTokens",
      requestType = dev.palaver.v1.CountTokensRequest.class,
      responseType = dev.palaver.v1.CountTokensResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.CountTokensRequest,
      dev.palaver.v1.CountTokensResponse> getCountTokensMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.CountTokensRequest, dev.palaver.v1.CountTokensResponse> getCountTokensMethod;
    if ((getCountTokensMethod = ChatServiceGrpc.getCountTokensMethod) == null) {
      synchronized (ChatServiceGrpc.class) {
        if ((getCountTokensMethod = ChatServiceGrpc.getCountTokensMethod) == null) {
          ChatServiceGrpc.getCountTokensMethod = getCountTokensMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.CountTokensRequest, dev.palaver.v1.CountTokensResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CountTokens"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.CountTokensRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.CountTokensResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ChatServiceMethodDescriptorSupplier("CountTokens"))
              .build();
        }
      }
    }
    return getCountTokensMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.ExplainChatRequest,
      dev.palaver.v1.ExplainChatResponse> getExplainChatMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ExplainChat",
      requestType = dev.palaver.v1.ExplainChatRequest.class,
      responseType = dev.palaver.v1.ExplainChatResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.ExplainChatRequest,
      dev.palaver.v1.ExplainChatResponse> getExplainChatMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.ExplainChatRequest, dev.palaver.v1.ExplainChatResponse> getExplainChatMethod;
    if ((getExplainChatMethod = ChatServiceGrpc.getExplainChatMethod) == null) {
      synchronized (ChatServiceGrpc.class) {
        if ((getExplainChatMethod = ChatServiceGrpc.getExplainChatMethod) == null) {
          ChatServiceGrpc.getExplainChatMethod = getExplainChatMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.ExplainChatRequest, dev.palaver.v1.ExplainChatResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ExplainChat"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.ExplainChatRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.ExplainChatResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ChatServiceMethodDescriptorSupplier("ExplainChat"))
              .build();
        }
      }
    }
    return getExplainChatMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ChatServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ChatServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ChatServiceStub>() {
        @java.lang.Override
        public ChatServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ChatServiceStub(channel, callOptions);
        }
      };
    return ChatServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ChatServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ChatServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ChatServiceBlockingV2Stub>() {
        @java.lang.Override
        public ChatServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ChatServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ChatServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ChatServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ChatServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ChatServiceBlockingStub>() {
        @java.lang.Override
        public ChatServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ChatServiceBlockingStub(channel, callOptions);
        }
      };
    return ChatServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ChatServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ChatServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ChatServiceFutureStub>() {
        @java.lang.Override
        public ChatServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ChatServiceFutureStub(channel, callOptions);
        }
      };
    return ChatServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Talks with a model.
   * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
   * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
   * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
   * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Answers a conversation in one piece.
     * </pre>
     */
    default void chat(dev.palaver.v1.ChatRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.ChatResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getChatMethod(), responseObserver);
    }

    /**
     * <pre>
     * Answers a conversation piece by piece, as it is generated: one `started`, any number of `delta`, one `finished`.
     * </pre>
     */
    default void streamChat(dev.palaver.v1.StreamChatRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.StreamChatResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStreamChatMethod(), responseObserver);
    }

    /**
     * <pre>
     * Counts the tokens that a conversation's prompt has, as `Chat` would render it, without generating anything.
     * </pre>
     */
    default void countTokens(dev.palaver.v1.CountTokensRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.CountTokensResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCountTokensMethod(), responseObserver);
    }

    /**
     * <pre>
     * Shows what the model would be given for a conversation, and how its answer would be generated and read, without
     * generating anything. What `Chat` would refuse is refused in the same way. Meant for whoever develops or operates:
     * callers with an API key need one that names this method among its methods, callers without one a setting of the
     * server. Others get PERMISSION_DENIED with the reason `METHOD_NOT_ALLOWED`.
     * </pre>
     */
    default void explainChat(dev.palaver.v1.ExplainChatRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.ExplainChatResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getExplainChatMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ChatService.
   * <pre>
   * Talks with a model.
   * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
   * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
   * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
   * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
   * </pre>
   */
  public static abstract class ChatServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ChatServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ChatService.
   * <pre>
   * Talks with a model.
   * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
   * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
   * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
   * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
   * </pre>
   */
  public static final class ChatServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ChatServiceStub> {
    private ChatServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ChatServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ChatServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation in one piece.
     * </pre>
     */
    public void chat(dev.palaver.v1.ChatRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.ChatResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getChatMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Answers a conversation piece by piece, as it is generated: one `started`, any number of `delta`, one `finished`.
     * </pre>
     */
    public void streamChat(dev.palaver.v1.StreamChatRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.StreamChatResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getStreamChatMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Counts the tokens that a conversation's prompt has, as `Chat` would render it, without generating anything.
     * </pre>
     */
    public void countTokens(dev.palaver.v1.CountTokensRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.CountTokensResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCountTokensMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Shows what the model would be given for a conversation, and how its answer would be generated and read, without
     * generating anything. What `Chat` would refuse is refused in the same way. Meant for whoever develops or operates:
     * callers with an API key need one that names this method among its methods, callers without one a setting of the
     * server. Others get PERMISSION_DENIED with the reason `METHOD_NOT_ALLOWED`.
     * </pre>
     */
    public void explainChat(dev.palaver.v1.ExplainChatRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.ExplainChatResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getExplainChatMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ChatService.
   * <pre>
   * Talks with a model.
   * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
   * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
   * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
   * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
   * </pre>
   */
  public static final class ChatServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ChatServiceBlockingV2Stub> {
    private ChatServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ChatServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ChatServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation in one piece.
     * </pre>
     */
    public dev.palaver.v1.ChatResponse chat(dev.palaver.v1.ChatRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getChatMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Answers a conversation piece by piece, as it is generated: one `started`, any number of `delta`, one `finished`.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.palaver.v1.StreamChatResponse>
        streamChat(dev.palaver.v1.StreamChatRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getStreamChatMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Counts the tokens that a conversation's prompt has, as `Chat` would render it, without generating anything.
     * </pre>
     */
    public dev.palaver.v1.CountTokensResponse countTokens(dev.palaver.v1.CountTokensRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCountTokensMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Shows what the model would be given for a conversation, and how its answer would be generated and read, without
     * generating anything. What `Chat` would refuse is refused in the same way. Meant for whoever develops or operates:
     * callers with an API key need one that names this method among its methods, callers without one a setting of the
     * server. Others get PERMISSION_DENIED with the reason `METHOD_NOT_ALLOWED`.
     * </pre>
     */
    public dev.palaver.v1.ExplainChatResponse explainChat(dev.palaver.v1.ExplainChatRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getExplainChatMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ChatService.
   * <pre>
   * Talks with a model.
   * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
   * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
   * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
   * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
   * </pre>
   */
  public static final class ChatServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ChatServiceBlockingStub> {
    private ChatServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ChatServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ChatServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation in one piece.
     * </pre>
     */
    public dev.palaver.v1.ChatResponse chat(dev.palaver.v1.ChatRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getChatMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Answers a conversation piece by piece, as it is generated: one `started`, any number of `delta`, one `finished`.
     * </pre>
     */
    public java.util.Iterator<dev.palaver.v1.StreamChatResponse> streamChat(
        dev.palaver.v1.StreamChatRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getStreamChatMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Counts the tokens that a conversation's prompt has, as `Chat` would render it, without generating anything.
     * </pre>
     */
    public dev.palaver.v1.CountTokensResponse countTokens(dev.palaver.v1.CountTokensRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCountTokensMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Shows what the model would be given for a conversation, and how its answer would be generated and read, without
     * generating anything. What `Chat` would refuse is refused in the same way. Meant for whoever develops or operates:
     * callers with an API key need one that names this method among its methods, callers without one a setting of the
     * server. Others get PERMISSION_DENIED with the reason `METHOD_NOT_ALLOWED`.
     * </pre>
     */
    public dev.palaver.v1.ExplainChatResponse explainChat(dev.palaver.v1.ExplainChatRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getExplainChatMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ChatService.
   * <pre>
   * Talks with a model.
   * A failure is the status of the call, with google.rpc.ErrorInfo of domain `palaver.v1` and an upper-case reason, with
   * google.rpc.BadRequest where fields are at fault, with google.rpc.RetryInfo where waiting helps, and with
   * google.rpc.QuotaFailure where a limit is reached. A field that this server or this model cannot honour is refused and
   * never ignored. A call that is cancelled, or whose caller goes away, stops its generation at once.
   * </pre>
   */
  public static final class ChatServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ChatServiceFutureStub> {
    private ChatServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ChatServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ChatServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation in one piece.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.palaver.v1.ChatResponse> chat(
        dev.palaver.v1.ChatRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getChatMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Counts the tokens that a conversation's prompt has, as `Chat` would render it, without generating anything.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.palaver.v1.CountTokensResponse> countTokens(
        dev.palaver.v1.CountTokensRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCountTokensMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Shows what the model would be given for a conversation, and how its answer would be generated and read, without
     * generating anything. What `Chat` would refuse is refused in the same way. Meant for whoever develops or operates:
     * callers with an API key need one that names this method among its methods, callers without one a setting of the
     * server. Others get PERMISSION_DENIED with the reason `METHOD_NOT_ALLOWED`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.palaver.v1.ExplainChatResponse> explainChat(
        dev.palaver.v1.ExplainChatRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getExplainChatMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CHAT = 0;
  private static final int METHODID_STREAM_CHAT = 1;
  private static final int METHODID_COUNT_TOKENS = 2;
  private static final int METHODID_EXPLAIN_CHAT = 3;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_CHAT:
          serviceImpl.chat((dev.palaver.v1.ChatRequest) request,
              (io.grpc.stub.StreamObserver<dev.palaver.v1.ChatResponse>) responseObserver);
          break;
        case METHODID_STREAM_CHAT:
          serviceImpl.streamChat((dev.palaver.v1.StreamChatRequest) request,
              (io.grpc.stub.StreamObserver<dev.palaver.v1.StreamChatResponse>) responseObserver);
          break;
        case METHODID_COUNT_TOKENS:
          serviceImpl.countTokens((dev.palaver.v1.CountTokensRequest) request,
              (io.grpc.stub.StreamObserver<dev.palaver.v1.CountTokensResponse>) responseObserver);
          break;
        case METHODID_EXPLAIN_CHAT:
          serviceImpl.explainChat((dev.palaver.v1.ExplainChatRequest) request,
              (io.grpc.stub.StreamObserver<dev.palaver.v1.ExplainChatResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getChatMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.ChatRequest,
              dev.palaver.v1.ChatResponse>(
                service, METHODID_CHAT)))
        .addMethod(
          getStreamChatMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.palaver.v1.StreamChatRequest,
              dev.palaver.v1.StreamChatResponse>(
                service, METHODID_STREAM_CHAT)))
        .addMethod(
          getCountTokensMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.CountTokensRequest,
              dev.palaver.v1.CountTokensResponse>(
                service, METHODID_COUNT_TOKENS)))
        .addMethod(
          getExplainChatMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.ExplainChatRequest,
              dev.palaver.v1.ExplainChatResponse>(
                service, METHODID_EXPLAIN_CHAT)))
        .build();
  }

  private static abstract class ChatServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ChatServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.palaver.v1.ChatServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ChatService");
    }
  }

  private static final class ChatServiceFileDescriptorSupplier
      extends ChatServiceBaseDescriptorSupplier {
    ChatServiceFileDescriptorSupplier() {}
  }

  private static final class ChatServiceMethodDescriptorSupplier
      extends ChatServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ChatServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (ChatServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ChatServiceFileDescriptorSupplier())
              .addMethod(getChatMethod())
              .addMethod(getStreamChatMethod())
              .addMethod(getCountTokensMethod())
              .addMethod(getExplainChatMethod())
              .build();
        }
      }
    }
    return result;
  }
}
