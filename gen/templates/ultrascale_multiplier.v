// Multiplier blocks of UltraScale+ with their registers: p = a0 * b0 two cycles later; with SUM p = a0 * b0 + (a1 * b1 << SHIFT) three
// cycles later, SHIFT = 0 or 17. b0 and b1 are taken in cycles with load.
module ultrascale_multiplier #(parameter SUM = 0, parameter SHIFT = 0) (
    input clk, input load,
    input [17:0] a0, input [26:0] b0, input [17:0] a1, input [26:0] b1, output [64:0] p
);
    localparam SAME = 9'b00_000_01_01, PLUS = 9'b00_001_01_01, PLUS_SHIFTED = 9'b00_101_01_01;
    wire [47:0] p0, chain;
    DSP48E2 #(
        .AREG(1), .ACASCREG(1), .BREG(1), .BCASCREG(1), .MREG(0), .PREG(1), .ADREG(0), .CREG(0), .DREG(0), .ALUMODEREG(0),
        .CARRYINREG(0), .CARRYINSELREG(0), .INMODEREG(0), .OPMODEREG(0)
    ) first (
        .CLK(clk), .A({{3{b0[26]}}, b0}), .B(a0), .OPMODE(SAME), .ALUMODE(4'b0), .INMODE(5'b0), .CARRYINSEL(3'b0), .CARRYIN(1'b0),
        .CEA1(1'b0), .CEA2(load), .CEB1(1'b0), .CEB2(1'b1), .CEP(1'b1), .CEM(1'b0), .CEAD(1'b0), .CEC(1'b0), .CED(1'b0),
        .CEALUMODE(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), .CEINMODE(1'b0),
        .RSTA(1'b0), .RSTB(1'b0), .RSTP(1'b0), .RSTM(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0),
        .RSTCTRL(1'b0), .RSTINMODE(1'b0),
        .C(48'b0), .D(27'b0), .PCIN(48'b0), .ACIN(30'b0), .BCIN(18'b0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0),
        .P(p0), .PCOUT(chain)
    );
    generate
        if (SUM) begin : g_sum
            wire [47:0] p1;
            reg [16:0] low;
            always @(posedge clk) low <= p0[16:0];
            DSP48E2 #(
                .AREG(2), .ACASCREG(2), .BREG(2), .BCASCREG(2), .MREG(0), .PREG(1), .ADREG(0), .CREG(0), .DREG(0), .ALUMODEREG(0),
                .CARRYINREG(0), .CARRYINSELREG(0), .INMODEREG(0), .OPMODEREG(0)
            ) second (
                .CLK(clk), .A({{3{b1[26]}}, b1}), .B(a1), .OPMODE(SHIFT ? PLUS_SHIFTED : PLUS), .ALUMODE(4'b0), .INMODE(5'b0),
                .CARRYINSEL(3'b0), .CARRYIN(1'b0),
                .CEA1(load), .CEA2(1'b1), .CEB1(1'b1), .CEB2(1'b1), .CEP(1'b1), .CEM(1'b0), .CEAD(1'b0), .CEC(1'b0), .CED(1'b0),
                .CEALUMODE(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), .CEINMODE(1'b0),
                .RSTA(1'b0), .RSTB(1'b0), .RSTP(1'b0), .RSTM(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0),
                .RSTCTRL(1'b0), .RSTINMODE(1'b0),
                .C(48'b0), .D(27'b0), .PCIN(chain), .ACIN(30'b0), .BCIN(18'b0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0),
                .P(p1)
            );
            assign p = SHIFT ? {p1, low} : {{17{p1[47]}}, p1};
        end else begin : g_product
            assign p = {{17{p0[47]}}, p0};
        end
    endgenerate
endmodule
