package dev.palaver.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
 * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
 * should use ChatService.
 * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
 * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
 * names of requests and responses.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class OpenAIServiceGrpc {

  private OpenAIServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "palaver.v1.OpenAIService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<com.google.api.HttpBody,
      com.google.api.HttpBody> getCreateChatCompletionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateChatCompletion",
      requestType = com.google.api.HttpBody.class,
      responseType = com.google.api.HttpBody.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<com.google.api.HttpBody,
      com.google.api.HttpBody> getCreateChatCompletionMethod() {
    io.grpc.MethodDescriptor<com.google.api.HttpBody, com.google.api.HttpBody> getCreateChatCompletionMethod;
    if ((getCreateChatCompletionMethod = OpenAIServiceGrpc.getCreateChatCompletionMethod) == null) {
      synchronized (OpenAIServiceGrpc.class) {
        if ((getCreateChatCompletionMethod = OpenAIServiceGrpc.getCreateChatCompletionMethod) == null) {
          OpenAIServiceGrpc.getCreateChatCompletionMethod = getCreateChatCompletionMethod =
              io.grpc.MethodDescriptor.<com.google.api.HttpBody, com.google.api.HttpBody>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateChatCompletion"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  com.google.api.HttpBody.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  com.google.api.HttpBody.getDefaultInstance()))
              .setSchemaDescriptor(new OpenAIServiceMethodDescriptorSupplier("CreateChatCompletion"))
              .build();
        }
      }
    }
    return getCreateChatCompletionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.ListOpenAIModelsRequest,
      com.google.api.HttpBody> getListOpenAIModelsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListOpenAIModels",
      requestType = dev.palaver.v1.ListOpenAIModelsRequest.class,
      responseType = com.google.api.HttpBody.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.ListOpenAIModelsRequest,
      com.google.api.HttpBody> getListOpenAIModelsMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.ListOpenAIModelsRequest, com.google.api.HttpBody> getListOpenAIModelsMethod;
    if ((getListOpenAIModelsMethod = OpenAIServiceGrpc.getListOpenAIModelsMethod) == null) {
      synchronized (OpenAIServiceGrpc.class) {
        if ((getListOpenAIModelsMethod = OpenAIServiceGrpc.getListOpenAIModelsMethod) == null) {
          OpenAIServiceGrpc.getListOpenAIModelsMethod = getListOpenAIModelsMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.ListOpenAIModelsRequest, com.google.api.HttpBody>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListOpenAIModels"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.ListOpenAIModelsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  com.google.api.HttpBody.getDefaultInstance()))
              .setSchemaDescriptor(new OpenAIServiceMethodDescriptorSupplier("ListOpenAIModels"))
              .build();
        }
      }
    }
    return getListOpenAIModelsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.GetOpenAIModelRequest,
      com.google.api.HttpBody> getGetOpenAIModelMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetOpenAIModel",
      requestType = dev.palaver.v1.GetOpenAIModelRequest.class,
      responseType = com.google.api.HttpBody.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.GetOpenAIModelRequest,
      com.google.api.HttpBody> getGetOpenAIModelMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.GetOpenAIModelRequest, com.google.api.HttpBody> getGetOpenAIModelMethod;
    if ((getGetOpenAIModelMethod = OpenAIServiceGrpc.getGetOpenAIModelMethod) == null) {
      synchronized (OpenAIServiceGrpc.class) {
        if ((getGetOpenAIModelMethod = OpenAIServiceGrpc.getGetOpenAIModelMethod) == null) {
          OpenAIServiceGrpc.getGetOpenAIModelMethod = getGetOpenAIModelMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.GetOpenAIModelRequest, com.google.api.HttpBody>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetOpenAIModel"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.GetOpenAIModelRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  com.google.api.HttpBody.getDefaultInstance()))
              .setSchemaDescriptor(new OpenAIServiceMethodDescriptorSupplier("GetOpenAIModel"))
              .build();
        }
      }
    }
    return getGetOpenAIModelMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static OpenAIServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceStub>() {
        @java.lang.Override
        public OpenAIServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new OpenAIServiceStub(channel, callOptions);
        }
      };
    return OpenAIServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static OpenAIServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceBlockingV2Stub>() {
        @java.lang.Override
        public OpenAIServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new OpenAIServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return OpenAIServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static OpenAIServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceBlockingStub>() {
        @java.lang.Override
        public OpenAIServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new OpenAIServiceBlockingStub(channel, callOptions);
        }
      };
    return OpenAIServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static OpenAIServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<OpenAIServiceFutureStub>() {
        @java.lang.Override
        public OpenAIServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new OpenAIServiceFutureStub(channel, callOptions);
        }
      };
    return OpenAIServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
   * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
   * should use ChatService.
   * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
   * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
   * names of requests and responses.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Answers a conversation. The body of the request is OpenAI's JSON. The answer is one JSON document, or a run of
     * server-sent events with `[DONE]` at the end when the request has `"stream": true`.
     * </pre>
     */
    default void createChatCompletion(com.google.api.HttpBody request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateChatCompletionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the models in OpenAI's JSON.
     * </pre>
     */
    default void listOpenAIModels(dev.palaver.v1.ListOpenAIModelsRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListOpenAIModelsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Describes one model in OpenAI's JSON. An unknown one is refused with NOT_FOUND.
     * </pre>
     */
    default void getOpenAIModel(dev.palaver.v1.GetOpenAIModelRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetOpenAIModelMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service OpenAIService.
   * <pre>
   * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
   * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
   * should use ChatService.
   * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
   * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
   * names of requests and responses.
   * </pre>
   */
  public static abstract class OpenAIServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return OpenAIServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service OpenAIService.
   * <pre>
   * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
   * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
   * should use ChatService.
   * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
   * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
   * names of requests and responses.
   * </pre>
   */
  public static final class OpenAIServiceStub
      extends io.grpc.stub.AbstractAsyncStub<OpenAIServiceStub> {
    private OpenAIServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected OpenAIServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new OpenAIServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation. The body of the request is OpenAI's JSON. The answer is one JSON document, or a run of
     * server-sent events with `[DONE]` at the end when the request has `"stream": true`.
     * </pre>
     */
    public void createChatCompletion(com.google.api.HttpBody request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getCreateChatCompletionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the models in OpenAI's JSON.
     * </pre>
     */
    public void listOpenAIModels(dev.palaver.v1.ListOpenAIModelsRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListOpenAIModelsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Describes one model in OpenAI's JSON. An unknown one is refused with NOT_FOUND.
     * </pre>
     */
    public void getOpenAIModel(dev.palaver.v1.GetOpenAIModelRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetOpenAIModelMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service OpenAIService.
   * <pre>
   * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
   * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
   * should use ChatService.
   * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
   * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
   * names of requests and responses.
   * </pre>
   */
  public static final class OpenAIServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<OpenAIServiceBlockingV2Stub> {
    private OpenAIServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected OpenAIServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new OpenAIServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation. The body of the request is OpenAI's JSON. The answer is one JSON document, or a run of
     * server-sent events with `[DONE]` at the end when the request has `"stream": true`.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, com.google.api.HttpBody>
        createChatCompletion(com.google.api.HttpBody request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getCreateChatCompletionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the models in OpenAI's JSON.
     * </pre>
     */
    public com.google.api.HttpBody listOpenAIModels(dev.palaver.v1.ListOpenAIModelsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListOpenAIModelsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Describes one model in OpenAI's JSON. An unknown one is refused with NOT_FOUND.
     * </pre>
     */
    public com.google.api.HttpBody getOpenAIModel(dev.palaver.v1.GetOpenAIModelRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetOpenAIModelMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service OpenAIService.
   * <pre>
   * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
   * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
   * should use ChatService.
   * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
   * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
   * names of requests and responses.
   * </pre>
   */
  public static final class OpenAIServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<OpenAIServiceBlockingStub> {
    private OpenAIServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected OpenAIServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new OpenAIServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Answers a conversation. The body of the request is OpenAI's JSON. The answer is one JSON document, or a run of
     * server-sent events with `[DONE]` at the end when the request has `"stream": true`.
     * </pre>
     */
    public java.util.Iterator<com.google.api.HttpBody> createChatCompletion(
        com.google.api.HttpBody request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getCreateChatCompletionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the models in OpenAI's JSON.
     * </pre>
     */
    public com.google.api.HttpBody listOpenAIModels(dev.palaver.v1.ListOpenAIModelsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListOpenAIModelsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Describes one model in OpenAI's JSON. An unknown one is refused with NOT_FOUND.
     * </pre>
     */
    public com.google.api.HttpBody getOpenAIModel(dev.palaver.v1.GetOpenAIModelRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetOpenAIModelMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service OpenAIService.
   * <pre>
   * Speaks OpenAI's chat protocol: the JSON of its requests and answers goes through unchanged, as bytes, so that
   * OpenAI's clients work with a new base URL and nothing else. It is made for the HTTP edge; programs that speak gRPC
   * should use ChatService.
   * Typed messages cannot print OpenAI's JSON: it has nulls, a `[DONE]` line, fields of any name, and one URL for answers
   * in one piece and in many. So the RPCs take and return google.api.HttpBody and are exempt from Buf's rules on the
   * names of requests and responses.
   * </pre>
   */
  public static final class OpenAIServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<OpenAIServiceFutureStub> {
    private OpenAIServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected OpenAIServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new OpenAIServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists the models in OpenAI's JSON.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<com.google.api.HttpBody> listOpenAIModels(
        dev.palaver.v1.ListOpenAIModelsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListOpenAIModelsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Describes one model in OpenAI's JSON. An unknown one is refused with NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<com.google.api.HttpBody> getOpenAIModel(
        dev.palaver.v1.GetOpenAIModelRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetOpenAIModelMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CREATE_CHAT_COMPLETION = 0;
  private static final int METHODID_LIST_OPEN_AIMODELS = 1;
  private static final int METHODID_GET_OPEN_AIMODEL = 2;

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
        case METHODID_CREATE_CHAT_COMPLETION:
          serviceImpl.createChatCompletion((com.google.api.HttpBody) request,
              (io.grpc.stub.StreamObserver<com.google.api.HttpBody>) responseObserver);
          break;
        case METHODID_LIST_OPEN_AIMODELS:
          serviceImpl.listOpenAIModels((dev.palaver.v1.ListOpenAIModelsRequest) request,
              (io.grpc.stub.StreamObserver<com.google.api.HttpBody>) responseObserver);
          break;
        case METHODID_GET_OPEN_AIMODEL:
          serviceImpl.getOpenAIModel((dev.palaver.v1.GetOpenAIModelRequest) request,
              (io.grpc.stub.StreamObserver<com.google.api.HttpBody>) responseObserver);
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
          getCreateChatCompletionMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              com.google.api.HttpBody,
              com.google.api.HttpBody>(
                service, METHODID_CREATE_CHAT_COMPLETION)))
        .addMethod(
          getListOpenAIModelsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.ListOpenAIModelsRequest,
              com.google.api.HttpBody>(
                service, METHODID_LIST_OPEN_AIMODELS)))
        .addMethod(
          getGetOpenAIModelMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.GetOpenAIModelRequest,
              com.google.api.HttpBody>(
                service, METHODID_GET_OPEN_AIMODEL)))
        .build();
  }

  private static abstract class OpenAIServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    OpenAIServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.palaver.v1.OpenaiService.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("OpenAIService");
    }
  }

  private static final class OpenAIServiceFileDescriptorSupplier
      extends OpenAIServiceBaseDescriptorSupplier {
    OpenAIServiceFileDescriptorSupplier() {}
  }

  private static final class OpenAIServiceMethodDescriptorSupplier
      extends OpenAIServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    OpenAIServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (OpenAIServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new OpenAIServiceFileDescriptorSupplier())
              .addMethod(getCreateChatCompletionMethod())
              .addMethod(getListOpenAIModelsMethod())
              .addMethod(getGetOpenAIModelMethod())
              .build();
        }
      }
    }
    return result;
  }
}
