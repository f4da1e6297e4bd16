package dev.palaver.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
 * grpc.health.v1 and server reflection.
 * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class WebServiceGrpc {

  private WebServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "palaver.v1.WebService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.GetHealthRequest,
      dev.palaver.v1.GetHealthResponse> getGetHealthMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetHealth",
      requestType = dev.palaver.v1.GetHealthRequest.class,
      responseType = dev.palaver.v1.GetHealthResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.GetHealthRequest,
      dev.palaver.v1.GetHealthResponse> getGetHealthMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.GetHealthRequest, dev.palaver.v1.GetHealthResponse> getGetHealthMethod;
    if ((getGetHealthMethod = WebServiceGrpc.getGetHealthMethod) == null) {
      synchronized (WebServiceGrpc.class) {
        if ((getGetHealthMethod = WebServiceGrpc.getGetHealthMethod) == null) {
          WebServiceGrpc.getGetHealthMethod = getGetHealthMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.GetHealthRequest, dev.palaver.v1.GetHealthResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetHealth"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.GetHealthRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.GetHealthResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WebServiceMethodDescriptorSupplier("GetHealth"))
              .build();
        }
      }
    }
    return getGetHealthMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.GetOpenAPIDocumentRequest,
      com.google.api.HttpBody> getGetOpenAPIDocumentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetOpenAPIDocument",
      requestType = dev.palaver.v1.GetOpenAPIDocumentRequest.class,
      responseType = com.google.api.HttpBody.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.GetOpenAPIDocumentRequest,
      com.google.api.HttpBody> getGetOpenAPIDocumentMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.GetOpenAPIDocumentRequest, com.google.api.HttpBody> getGetOpenAPIDocumentMethod;
    if ((getGetOpenAPIDocumentMethod = WebServiceGrpc.getGetOpenAPIDocumentMethod) == null) {
      synchronized (WebServiceGrpc.class) {
        if ((getGetOpenAPIDocumentMethod = WebServiceGrpc.getGetOpenAPIDocumentMethod) == null) {
          WebServiceGrpc.getGetOpenAPIDocumentMethod = getGetOpenAPIDocumentMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.GetOpenAPIDocumentRequest, com.google.api.HttpBody>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetOpenAPIDocument"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.GetOpenAPIDocumentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  com.google.api.HttpBody.getDefaultInstance()))
              .setSchemaDescriptor(new WebServiceMethodDescriptorSupplier("GetOpenAPIDocument"))
              .build();
        }
      }
    }
    return getGetOpenAPIDocumentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.palaver.v1.GetDocumentationRequest,
      com.google.api.HttpBody> getGetDocumentationMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetDocumentation",
      requestType = dev.palaver.v1.GetDocumentationRequest.class,
      responseType = com.google.api.HttpBody.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.palaver.v1.GetDocumentationRequest,
      com.google.api.HttpBody> getGetDocumentationMethod() {
    io.grpc.MethodDescriptor<dev.palaver.v1.GetDocumentationRequest, com.google.api.HttpBody> getGetDocumentationMethod;
    if ((getGetDocumentationMethod = WebServiceGrpc.getGetDocumentationMethod) == null) {
      synchronized (WebServiceGrpc.class) {
        if ((getGetDocumentationMethod = WebServiceGrpc.getGetDocumentationMethod) == null) {
          WebServiceGrpc.getGetDocumentationMethod = getGetDocumentationMethod =
              io.grpc.MethodDescriptor.<dev.palaver.v1.GetDocumentationRequest, com.google.api.HttpBody>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetDocumentation"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.palaver.v1.GetDocumentationRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  com.google.api.HttpBody.getDefaultInstance()))
              .setSchemaDescriptor(new WebServiceMethodDescriptorSupplier("GetDocumentation"))
              .build();
        }
      }
    }
    return getGetDocumentationMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static WebServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebServiceStub>() {
        @java.lang.Override
        public WebServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebServiceStub(channel, callOptions);
        }
      };
    return WebServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static WebServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebServiceBlockingV2Stub>() {
        @java.lang.Override
        public WebServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return WebServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static WebServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebServiceBlockingStub>() {
        @java.lang.Override
        public WebServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebServiceBlockingStub(channel, callOptions);
        }
      };
    return WebServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static WebServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebServiceFutureStub>() {
        @java.lang.Override
        public WebServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebServiceFutureStub(channel, callOptions);
        }
      };
    return WebServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
   * grpc.health.v1 and server reflection.
   * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Tells whether chats are answered. Over HTTP the status is 200 when they are, and 503 with the same body when not;
     * over gRPC the status is OK or UNAVAILABLE.
     * </pre>
     */
    default void getHealth(dev.palaver.v1.GetHealthRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.GetHealthResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetHealthMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the OpenAPI document of all that is served over HTTP.
     * </pre>
     */
    default void getOpenAPIDocument(dev.palaver.v1.GetOpenAPIDocumentRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetOpenAPIDocumentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the same as a page to read.
     * </pre>
     */
    default void getDocumentation(dev.palaver.v1.GetDocumentationRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetDocumentationMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service WebService.
   * <pre>
   * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
   * grpc.health.v1 and server reflection.
   * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
   * </pre>
   */
  public static abstract class WebServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return WebServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service WebService.
   * <pre>
   * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
   * grpc.health.v1 and server reflection.
   * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
   * </pre>
   */
  public static final class WebServiceStub
      extends io.grpc.stub.AbstractAsyncStub<WebServiceStub> {
    private WebServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Tells whether chats are answered. Over HTTP the status is 200 when they are, and 503 with the same body when not;
     * over gRPC the status is OK or UNAVAILABLE.
     * </pre>
     */
    public void getHealth(dev.palaver.v1.GetHealthRequest request,
        io.grpc.stub.StreamObserver<dev.palaver.v1.GetHealthResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetHealthMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the OpenAPI document of all that is served over HTTP.
     * </pre>
     */
    public void getOpenAPIDocument(dev.palaver.v1.GetOpenAPIDocumentRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetOpenAPIDocumentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the same as a page to read.
     * </pre>
     */
    public void getDocumentation(dev.palaver.v1.GetDocumentationRequest request,
        io.grpc.stub.StreamObserver<com.google.api.HttpBody> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetDocumentationMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service WebService.
   * <pre>
   * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
   * grpc.health.v1 and server reflection.
   * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
   * </pre>
   */
  public static final class WebServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<WebServiceBlockingV2Stub> {
    private WebServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Tells whether chats are answered. Over HTTP the status is 200 when they are, and 503 with the same body when not;
     * over gRPC the status is OK or UNAVAILABLE.
     * </pre>
     */
    public dev.palaver.v1.GetHealthResponse getHealth(dev.palaver.v1.GetHealthRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetHealthMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the OpenAPI document of all that is served over HTTP.
     * </pre>
     */
    public com.google.api.HttpBody getOpenAPIDocument(dev.palaver.v1.GetOpenAPIDocumentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetOpenAPIDocumentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the same as a page to read.
     * </pre>
     */
    public com.google.api.HttpBody getDocumentation(dev.palaver.v1.GetDocumentationRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetDocumentationMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service WebService.
   * <pre>
   * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
   * grpc.health.v1 and server reflection.
   * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
   * </pre>
   */
  public static final class WebServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<WebServiceBlockingStub> {
    private WebServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Tells whether chats are answered. Over HTTP the status is 200 when they are, and 503 with the same body when not;
     * over gRPC the status is OK or UNAVAILABLE.
     * </pre>
     */
    public dev.palaver.v1.GetHealthResponse getHealth(dev.palaver.v1.GetHealthRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetHealthMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the OpenAPI document of all that is served over HTTP.
     * </pre>
     */
    public com.google.api.HttpBody getOpenAPIDocument(dev.palaver.v1.GetOpenAPIDocumentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetOpenAPIDocumentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the same as a page to read.
     * </pre>
     */
    public com.google.api.HttpBody getDocumentation(dev.palaver.v1.GetDocumentationRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetDocumentationMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service WebService.
   * <pre>
   * Answers what a browser or a probe asks for over HTTP, without a key. Programs that speak gRPC should use
   * grpc.health.v1 and server reflection.
   * The pages are google.api.HttpBody, and so exempt from Buf's rules on the names of responses.
   * </pre>
   */
  public static final class WebServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<WebServiceFutureStub> {
    private WebServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Tells whether chats are answered. Over HTTP the status is 200 when they are, and 503 with the same body when not;
     * over gRPC the status is OK or UNAVAILABLE.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.palaver.v1.GetHealthResponse> getHealth(
        dev.palaver.v1.GetHealthRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetHealthMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the OpenAPI document of all that is served over HTTP.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<com.google.api.HttpBody> getOpenAPIDocument(
        dev.palaver.v1.GetOpenAPIDocumentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetOpenAPIDocumentMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the same as a page to read.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<com.google.api.HttpBody> getDocumentation(
        dev.palaver.v1.GetDocumentationRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetDocumentationMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_GET_HEALTH = 0;
  private static final int METHODID_GET_OPEN_APIDOCUMENT = 1;
  private static final int METHODID_GET_DOCUMENTATION = 2;

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
        case METHODID_GET_HEALTH:
          serviceImpl.getHealth((dev.palaver.v1.GetHealthRequest) request,
              (io.grpc.stub.StreamObserver<dev.palaver.v1.GetHealthResponse>) responseObserver);
          break;
        case METHODID_GET_OPEN_APIDOCUMENT:
          serviceImpl.getOpenAPIDocument((dev.palaver.v1.GetOpenAPIDocumentRequest) request,
              (io.grpc.stub.StreamObserver<com.google.api.HttpBody>) responseObserver);
          break;
        case METHODID_GET_DOCUMENTATION:
          serviceImpl.getDocumentation((dev.palaver.v1.GetDocumentationRequest) request,
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
          getGetHealthMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.GetHealthRequest,
              dev.palaver.v1.GetHealthResponse>(
                service, METHODID_GET_HEALTH)))
        .addMethod(
          getGetOpenAPIDocumentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.GetOpenAPIDocumentRequest,
              com.google.api.HttpBody>(
                service, METHODID_GET_OPEN_APIDOCUMENT)))
        .addMethod(
          getGetDocumentationMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.palaver.v1.GetDocumentationRequest,
              com.google.api.HttpBody>(
                service, METHODID_GET_DOCUMENTATION)))
        .build();
  }

  private static abstract class WebServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    WebServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.palaver.v1.WebServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("WebService");
    }
  }

  private static final class WebServiceFileDescriptorSupplier
      extends WebServiceBaseDescriptorSupplier {
    WebServiceFileDescriptorSupplier() {}
  }

  private static final class WebServiceMethodDescriptorSupplier
      extends WebServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    WebServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (WebServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new WebServiceFileDescriptorSupplier())
              .addMethod(getGetHealthMethod())
              .addMethod(getGetOpenAPIDocumentMethod())
              .addMethod(getGetDocumentationMethod())
              .build();
        }
      }
    }
    return result;
  }
}
