// Multiplier blocks of UltraScale+ with their registers: p = a0 * b0 two cycles with enable later; with SUM p = a0 * b0 +
// (a1 * b1 << SHIFT) three of them later, SHIFT = 0 or 17. b0 and b1 are taken in cycles with load.
module ultrascale_multiplier #(parameter SUM = 0, parameter SHIFT = 0) (
    input clk, input load, input enable,
    input [17:0] a0, input [26:0] b0, input [17:0] a1, input [26:0] b1, output [64:0] p
);
    wire [47:0] p0, chain;
    ultrascale_block #(.REGISTERS(1), .ADDS(3'b000)) first (
        .clk(clk), .load(load), .enable(enable), .a(a0), .b(b0), .chain_in(48'b0), .p(p0), .chain_out(chain)
    );
    generate
        if (SUM) begin : g_sum
            wire [47:0] p1;
            reg [16:0] low;
            always @(posedge clk) if (enable) low <= p0[16:0];
            ultrascale_block #(.REGISTERS(2), .ADDS(SHIFT ? 3'b101 : 3'b001)) second (
                .clk(clk), .load(load), .enable(enable), .a(a1), .b(b1), .chain_in(chain), .p(p1), .chain_out()
            );
            assign p = SHIFT ? {p1, low} : {{17{p1[47]}}, p1};
        end else begin : g_product
            assign p = {{17{p0[47]}}, p0};
        end
    endgenerate
endmodule

// One block: a * b, and what ADDS says (the Z of its OPMODE): nothing, chain_in, or that 17 bits to the right. REGISTERS: before it.
module ultrascale_block #(parameter REGISTERS = 1, parameter [2:0] ADDS = 3'b000) (
    input clk, input load, input enable, input [17:0] a, input [26:0] b, input [47:0] chain_in, output [47:0] p, output [47:0] chain_out
);
    DSP48E2 #(
        .AREG(REGISTERS), .ACASCREG(REGISTERS), .BREG(REGISTERS), .BCASCREG(REGISTERS), .MREG(0), .PREG(1), .ADREG(0), .CREG(0),
        .DREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0), .INMODEREG(0), .OPMODEREG(0)
    ) block (
        .CLK(clk), .A({{3{b[26]}}, b}), .B(a), .OPMODE({2'b00, ADDS, 4'b0101}), .ALUMODE(4'b0), .INMODE(5'b0), .CARRYINSEL(3'b0),
        .CARRYIN(1'b0), .CEA1(REGISTERS == 2 ? load : 1'b0), .CEA2(REGISTERS == 2 ? enable : load),
        .CEB1(REGISTERS == 2 ? enable : 1'b0), .CEB2(enable), .CEP(enable), .CEM(1'b0), .CEAD(1'b0), .CEC(1'b0), .CED(1'b0),
        .CEALUMODE(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), .CEINMODE(1'b0),
        .RSTA(1'b0), .RSTB(1'b0), .RSTP(1'b0), .RSTM(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0),
        .RSTCTRL(1'b0), .RSTINMODE(1'b0),
        .C(48'b0), .D(27'b0), .PCIN(chain_in), .ACIN(30'b0), .BCIN(18'b0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0),
        .P(p), .PCOUT(chain_out)
    );
endmodule
